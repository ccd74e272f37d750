package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// A fakeWitness speaks C2SP tlog-witness in process, checking proofs with x/mod.
type fakeWitness struct {
	key  ed25519.PrivateKey
	now  func() time.Time
	size int64
	root tlog.Hash
	hash []byte // key id
	bad  bool   // signs something else
	asks int
}

func newWitness(now func() time.Time) *fakeWitness {
	f := &fakeWitness{key: newTestKey(3), now: now}
	parts := strings.Split(f.vkey(), "+")
	f.hash = unhex(parts[1])
	return f
}

func (f *fakeWitness) vkey() string {
	return evidence.WitnessKey("witness.example.org/w", f.key.Public().(ed25519.PublicKey))
}

func (f *fakeWitness) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asks++
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/w/add-checkpoint" {
		return answer(404, "")
	}
	head, cp, _ := bytes.Cut(b, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if err != nil {
		return answer(400, "")
	}
	body, _, _ := bytes.Cut(cp, []byte("\n\n"))
	fields := strings.Split(string(body), "\n")
	size := must(strconv.ParseInt(fields[1], 10, 64))
	root := tlog.Hash(must(base64.StdEncoding.DecodeString(fields[2])))
	if old != f.size {
		return answer(409, fmt.Sprintf("%d\n", f.size))
	}
	if old > 0 {
		var p tlog.TreeProof
		for _, l := range lines[1:] {
			p = append(p, tlog.Hash(must(base64.StdEncoding.DecodeString(l))))
		}
		if tlog.CheckTree(p, size, root, f.size, f.root) != nil {
			return answer(422, "")
		}
	}
	f.size, f.root = size, root
	at := uint64(f.now().Unix())
	msg := fmt.Sprintf("cosignature/v1\ntime %d\n%s\n", at, body)
	if f.bad {
		msg += "x"
	}
	sig := append(bytes.Clone(f.hash), binary.BigEndian.AppendUint64(nil, at)...)
	sig = append(sig, ed25519.Sign(f.key, []byte(msg))...)
	return answer(200, "— witness.example.org/w "+base64.StdEncoding.EncodeToString(sig)+"\n")
}

func TestWitness(t *testing.T) {
	t.Parallel()
	var w *world
	f := newWitness(func() time.Time { return w.clock() })
	anchor := evidence.Witness{Label: "w1", URL: "https://witness.example.org/w/", Key: f.vkey(), Client: &http.Client{Transport: f}}
	w = newWorld(t, nil, anchor)
	w.envelope("first")
	w.anchor()
	assert.Equal(t, 1, f.asks)
	w.envelope("nda-17")
	w.anchor()
	assert.Equal(t, 3, f.asks, "asked from 0, told 8, asked again with the proof")
	b := w.export("nda-17", nil)

	t.Run("T15 a trusted witness binds the operator", func(t *testing.T) {
		r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust("witness " + f.vkey())})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		assert.False(t, r.Windows[0].NotAfter.IsZero())
	})
	t.Run("an unknown one does not", func(t *testing.T) {
		r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		assert.True(t, r.Has(evidence.CodeAnchorTrust, evidence.Indeterminate))
	})
	t.Run("a cosignature of another checkpoint fails", func(t *testing.T) {
		r := verify(t, repackSigned(t, w, b, func(files map[string][]byte) {
			other := mustEntry(w.export("first", nil), "anchors/8-w1.json")
			files["anchors/16-w1.json"] = other
		}), &evidence.VerifyOptions{Keys: w.trust("witness " + f.vkey())})
		assert.True(t, r.Has(evidence.CodeAnchor, evidence.Failed), troubles(r))
	})
	t.Run("a witness refuses a tree that does not extend the last", func(t *testing.T) {
		g := newWorld(t, nil, anchor) // same key and origin, another past, longer
		g.advance(1)
		for i := range 3 {
			g.envelope(fmt.Sprintf("e%d", i))
		}
		must(g.log.Sequence(g.ctx))
		_, err := g.log.Anchor(g.ctx)
		require.Error(t, err)
		assert.Contains(t, err.Error(), "does not extend")
	})
	t.Run("an answer that proves nothing is no answer", func(t *testing.T) {
		f.bad = true
		w.envelope("nda-18")
		must(w.log.Sequence(w.ctx))
		_, err := w.log.Anchor(w.ctx)
		require.Error(t, err)
		recs, err := w.mem.List(w.ctx, storage.Deployment, "evidence.anchor", "", 10)
		require.NoError(t, err)
		assert.Len(t, recs, 2)
	})
}

// repackSigned changes entries and signs with the log's key again.
func repackSigned(t *testing.T, w *world, b []byte, change func(map[string][]byte)) []byte {
	t.Helper()
	files := map[string][]byte{}
	for _, g := range regions(b) {
		if g.isData {
			files[g.name] = bytes.Clone(b[g.from:g.to])
		}
	}
	change(files)
	return w.log.Resign(files, nil)
}
