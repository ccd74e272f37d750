package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

const origin = "sign.example.com/log"

// A world is a log with its store, vault and a clock that the test moves.
type world struct {
	t     testing.TB
	ctx   context.Context // names an accessor of tenant acme
	mem   *storage.Mem
	vault *privacy.Vault
	log   *evidence.Log
	mu    sync.Mutex
	now   time.Time
	key   ed25519.PrivateKey
	live  bool // the clock is time.Now
}

func (w *world) clock() time.Time {
	if w.live {
		return time.Now()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	if w.live {
		time.Sleep(d)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t testing.TB, wrap func(storage.Store) storage.Store, anchors ...evidence.Anchor) *world {
	t.Helper()
	return newWorldWithKey(t, newTestKey(7), wrap, anchors...)
}

func newWorldWithKey(t testing.TB, key ed25519.PrivateKey, wrap func(storage.Store) storage.Store, anchors ...evidence.Anchor) *world {
	t.Helper()
	w := &world{t: t, mem: new(storage.Mem), now: time.Date(2026, 3, 1, 1, 2, 3, 456789000, time.UTC), key: key}
	var s storage.Store = w.mem
	if wrap != nil {
		s = wrap(s)
	}
	var err error
	w.vault, err = privacy.New(privacy.Config{Root: testRoot, Store: s, Now: w.clock})
	require.NoError(t, err)
	w.log, err = evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: s, Vault: w.vault, Now: w.clock, Anchors: anchors})
	require.NoError(t, err)
	require.NoError(t, w.vault.Unlock(context.Background(), "acme"))
	w.ctx = w.vault.As(context.Background(), privacy.Accessor{Tenant: "acme", Account: "clerk", Role: "support"})
	return w
}

func (w *world) trust(extra ...string) *evidence.Trust {
	w.t.Helper()
	t, err := evidence.ParseTrust(strings.NewReader("log " + w.log.VerifierKey() + "\n" + strings.Join(extra, "\n")))
	require.NoError(w.t, err)
	return t
}

func mustPhone(t testing.TB, s string) privacy.Phone {
	p, err := privacy.NewPhone(s)
	require.NoError(t, err)
	return p
}

func mustName(t testing.TB, s string) privacy.Name {
	p, err := privacy.NewName(s)
	require.NoError(t, err)
	return p
}

var contract = bytes.Repeat([]byte("%PDF-1.7 a contract "), 200)

// envelope writes a whole life: created, sent, two signatures, completed,
// sealed, and a download after the seal; 8 events.
func (w *world) envelope(env string) {
	w.t.Helper()
	base := evidence.DigestsOf(contract[:3000])
	mid := evidence.DigestsOf(contract[:3500])
	end := evidence.DigestsOf(contract)
	hr := evidence.Actor{ID: "hr", Role: "owner", Account: "acme-hr"}
	add := func(d evidence.Draft) {
		w.advance(time.Second)
		d.Tenant, d.Env = "acme", env
		_, err := w.log.Append(w.ctx, d)
		require.NoError(w.t, err)
	}
	person := func(id, name, phone string) []evidence.Personal {
		s := privacy.Subject{Tenant: "acme", ID: id}
		ip, err := privacy.NewIP("203.0.113.7")
		require.NoError(w.t, err)
		return []evidence.Personal{{Subject: s, Value: mustName(w.t, name)}, {Subject: s, Value: mustPhone(w.t, phone)}, {Subject: s, Value: ip}}
	}
	add(evidence.Draft{Type: "envelope.created", Actor: hr, Req: map[string]any{"channel": "api", "trusted_proxy": true}})
	add(evidence.Draft{Type: "document.uploaded", Actor: hr, Docs: []evidence.DocChange{{ID: "nda", After: base}}})
	add(evidence.Draft{Type: "envelope.sent", Actor: hr, Docs: []evidence.DocChange{{ID: "nda", Before: base, After: base}},
		Personal: append(person("li", "李明", "13800138000"), person("wang", "王小丽", "13900139000")...)})
	add(evidence.Draft{Type: "recipient.signed", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"},
		Docs:     []evidence.DocChange{{ID: "nda", Rev: 1, Before: base, After: mid}},
		Auth:     []evidence.Auth{{Level: "W2", Method: "code", Provider: "sms", Transaction: bytes.Repeat([]byte{1}, 32), Cert: bytes.Repeat([]byte{2}, 32), NotAfter: w.now.AddDate(1, 0, 0)}},
		Personal: person("li", "李明", "13800138000")})
	add(evidence.Draft{Type: "recipient.signed", Actor: evidence.Actor{ID: "wang", Role: "signer", Account: "wang"},
		Docs:     []evidence.DocChange{{ID: "nda", Rev: 2, Before: mid, After: end}},
		Auth:     []evidence.Auth{{Level: "W2", Method: "code", Provider: "sms", Transaction: bytes.Repeat([]byte{3}, 32)}},
		Personal: person("wang", "王小丽", "13900139000")})
	add(evidence.Draft{Type: "envelope.completed", Actor: evidence.Actor{ID: "system"}, Eff: w.now.Add(-time.Minute)})
	w.advance(time.Second)
	_, err := w.log.SealChain(w.ctx, evidence.SealDraft{Tenant: "acme", Env: env, Actor: evidence.Actor{ID: "system"},
		Docs: []evidence.DocChange{{ID: "nda", Rev: 2, After: end}}})
	require.NoError(w.t, err)
	add(evidence.Draft{Type: "document.downloaded", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"},
		Docs: []evidence.DocChange{{ID: "nda", Rev: 2}}})
}

const envelopeEvents = 8

func all(evidence.Disclosure) bool { return true }

func (w *world) export(env string, o *evidence.ExportOptions) []byte {
	w.t.Helper()
	if o == nil {
		o = &evidence.ExportOptions{Disclose: all}
	}
	if !o.DigestsOnly && o.Documents == nil {
		o.Documents = []evidence.Document{{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract))}}
	}
	var b bytes.Buffer
	info, err := w.log.Export(w.ctx, "acme", env, &b, o)
	require.NoError(w.t, err)
	require.Equal(w.t, int64(b.Len()), info.Size)
	return b.Bytes()
}

func verify(t testing.TB, b []byte, o *evidence.VerifyOptions) *evidence.Report {
	t.Helper()
	r, err := evidence.Verify(bytes.NewReader(b), int64(len(b)), o)
	require.NoError(t, err)
	return r
}

// troubles lists the checks that did not pass.
func troubles(r *evidence.Report) []string {
	var out []string
	for _, c := range r.Checks {
		if c.Verdict != evidence.Passed {
			out = append(out, fmt.Sprintf("%s %s %d %s: %s", c.Code, c.Verdict, c.Seq, c.Path, c.Detail))
		}
	}
	return out
}

func sumOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var testRoot = privacy.InsecureMemoryKey()

func newTestKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

// named gives stored data the form in which members have names.
func named(kind string, b []byte) []byte {
	switch kind {
	case "evidence.chain":
		return evidence.HeadJSON(b)
	case "evidence.mark":
		return evidence.MarkJSON(b)
	}
	return b
}
