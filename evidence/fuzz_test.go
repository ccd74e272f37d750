package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// Whatever is not one of the bundles that the log signed is refused: nobody
// without the key makes another one.
func FuzzVerify(f *testing.F) {
	// Frozen bundles: the workers of a fuzz run are processes of their own.
	var signed [][]byte
	for _, path := range must(filepath.Glob(filepath.Join(vectorDir, "bundles", "*.esev"))) {
		b := must(os.ReadFile(path))
		f.Add(b)
		signed = append(signed, b)
	}
	trust := must(evidence.ParseTrust(bytes.NewReader(must(os.ReadFile(filepath.Join(vectorDir, "bundles", "trust.txt"))))))
	f.Add([]byte("PK\x05\x06" + string(make([]byte, 18))))
	o := &evidence.VerifyOptions{Keys: trust}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := evidence.Verify(bytes.NewReader(b), int64(len(b)), o)
		if err != nil {
			if !errors.Is(err, evidence.ErrUnreadable) {
				t.Fatal(err)
			}
			return
		}
		if r.Verdict == evidence.Failed {
			return
		}
		for _, s := range signed {
			if bytes.Equal(s, b) {
				return
			}
		}
		t.Fatalf("accepted bytes that nobody signed: %s", r.Verdict)
	})
}

// The reader of one pass takes what the slow one takes, which writes the event
// again and compares, and nothing else.
func FuzzParseEvent(f *testing.F) {
	for _, b := range eventSeeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { sameEvent(t, b) })
}

func eventSeeds(tb testing.TB) (out [][]byte) {
	w := newWorld(tb, nil)
	w.envelope("e")
	for e, err := range w.log.Events(w.ctx, "acme", "e", 0) {
		require.NoError(tb, err)
		out = append(out, e.Bytes())
	}
	var v struct{ Events []string }
	require.NoError(tb, json.Unmarshal(must(os.ReadFile(filepath.Join(vectorDir, "chain.json"))), &v))
	for _, s := range v.Events {
		out = append(out, []byte(s))
	}
	return append(out, []byte(`{"actor":{"account":"账","id":"\u0000\"","role":"r"},"at":"2024-02-29T23:59:59.999999Z","ck":true,"eff":"0001-01-01T00:00:00.000001Z","env":"e","nb":{"size":1,"token":"`+
		strings.Repeat("0f", 32)+`"},"prev":"`+strings.Repeat("a1", 32)+`","req":{"a":[],"b":{}},"seq":9007199254740991,"type":"a.b","v":1,"x":{"n":-1}}`))
}

func sameEvent(t testing.TB, b []byte) {
	e, err := evidence.ParseEvent(b)
	slow, want := evidence.SlowParseEvent(b)
	if (err == nil) != (want == nil) {
		t.Fatalf("in one pass %v, slowly %v: %q", err, want, b)
	}
	glance, gerr := evidence.Glance(b, "e")
	if (err == nil) != (gerr == nil) {
		t.Fatalf("at a glance %v, in full %v: %q", gerr, err, b)
	}
	if err != nil {
		if !errors.Is(err, evidence.ErrForm) {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(e.Bytes(), b) {
		t.Fatal("accepted bytes that are not the one form")
	}
	if !reflect.DeepEqual(evidence.Bare(e), evidence.Bare(slow)) {
		t.Fatalf("in one pass %+v, slowly %+v", e, slow)
	}
	seen := evidence.Event{Env: e.Env, Seq: e.Seq, Type: e.Type, At: e.At, Back: e.Back, Eff: e.Eff, Prev: e.Prev, Req: e.Req, X: e.X,
		NotBefore: evidence.Before{Size: e.NotBefore.Size}}
	if len(glance.Docs) != len(e.Docs) || len(glance.Auth) != len(e.Auth) || !bytes.Equal(glance.Bytes(), b) {
		t.Fatalf("at a glance %+v, in full %+v", glance, e)
	}
	if glance.Docs, glance.Auth = nil, nil; !reflect.DeepEqual(evidence.Bare(glance), seen) {
		t.Fatalf("at a glance %+v, in full %+v", glance, seen)
	}
}

// TestParseEventAgrees tries what a fuzzer would: bytes changed, and pieces of
// JSON in places where they do not belong.
func TestParseEventAgrees(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(11, 12))
	pieces := []string{`"`, `,`, `{`, `}`, `[`, `]`, `:`, `0`, `-1`, `1`, `null`, `true`, `false`, `""`, `"a"`, `{}`, `[]`, `\u0000`, `\n`, `\/`, ` `, `,"ck":true`, `,"ck":false`,
		`"role":"",`, `"x":{}`, `,"x":{"a":1}`, `é`, "\x80", `9007199254740992`, `00`, `1.0`, `"2024-02-30T00:00:00.000000Z"`, `"2024-12-31T24:00:00.000000Z"`, `"0000-01-01T00:00:00.000000Z"`,
		`"0001-01-01T00:00:00.000000Z"`, `A1`, `,"eff":"2024-02-28T00:00:00.000000Z"`, `,"docs":[]`, `,"pd":[]`, `,"req":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}}}}}}}}`}
	seeds := eventSeeds(t)
	accepted := 0
	for range max(20000, *mutations) {
		b := bytes.Clone(seeds[rnd.IntN(len(seeds))])
		for range 1 + rnd.IntN(2) {
			i := rnd.IntN(len(b))
			switch j := min(len(b), i+rnd.IntN(20)); rnd.IntN(5) {
			case 0:
				b[i] ^= 1 << rnd.IntN(8)
			case 1:
				b = append(b[:i], b[j:]...)
			case 2:
				b = slices.Insert(b, i, []byte(pieces[rnd.IntN(len(pieces))])...)
			case 3:
				b = slices.Replace(b, i, j, []byte(pieces[rnd.IntN(len(pieces))])...)
			case 4: // at a boundary of values
				if k := bytes.IndexAny(b[i:], `:,[]{}`); k >= 0 {
					b = slices.Insert(b, i+k+rnd.IntN(2), []byte(pieces[rnd.IntN(len(pieces))])...)
				}
			}
			if len(b) == 0 {
				break
			}
		}
		sameEvent(t, b)
		if _, err := evidence.ParseEvent(b); err == nil {
			accepted++
		}
	}
	for _, b := range seeds {
		sameEvent(t, b)
	}
	assert.Positive(t, accepted, "some changes are events, too")
}

func FuzzParseTrust(f *testing.F) {
	w, s := anchoredWorld(f)
	f.Add([]byte("log " + w.log.VerifierKey() + " 8\n" + s.trustLines()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := evidence.ParseTrust(bytes.NewReader(b)); err != nil && !errors.Is(err, evidence.ErrTrust) {
			t.Fatal(err)
		}
	})
}

func FuzzNote(f *testing.F) {
	w, _ := anchoredWorld(f)
	w.envelope("e")
	w.anchor()
	b := w.export("e", nil)
	for _, name := range []string{"manifest.note", "anchors/8-checkpoint.txt", "proofs/3.tlog-proof"} {
		f.Add(mustEntry(b, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := evidence.ParseNote(b); err != nil && !errors.Is(err, evidence.ErrNote) {
			t.Fatal(err)
		}
		if _, err := evidence.ParseProof(b); err != nil && !errors.Is(err, evidence.ErrNote) {
			t.Fatal(err)
		}
	})
}
