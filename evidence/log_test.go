package evidence_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/tsp"
	"github.com/countersign/countersign/storage"
)

// A tsa is a timestamp authority in process that may be made to fail.
type tsa struct {
	*tsp.Responder
	root *x509.Certificate
	key  *ecdsa.PrivateKey // of the root
	down atomic.Bool
}

// reissue gives the authority a certificate of another life under the same root.
func (s *tsa) reissue(t testing.TB, from, to time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), Subject: pkix.Name{CommonName: "TSA TEST ONLY"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}}, s.root, key.Public(), s.key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	s.Responder.Key, s.Responder.Chain = key, []*x509.Certificate{leaf, s.root}
}

func (s *tsa) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	if s.down.Load() {
		return nil, errors.New("unreachable")
	}
	return s.Responder.Timestamp(ctx, digest, sum)
}

func (s *tsa) trustLines() string {
	return "tsa\n" + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root.Raw}))
}

func newTSA(t testing.TB, now func() time.Time) *tsa {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return k
	}
	rootKey, leafKey := key(), key()
	from, to := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	rootT := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TSA root TEST ONLY"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, rootT, rootT, rootKey.Public(), rootKey)
	require.NoError(t, err)
	root, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	require.NoError(t, err)
	leafT := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "TSA TEST ONLY"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}}
	der, err = x509.CreateCertificate(rand.Reader, leafT, root, leafKey.Public(), rootKey)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &tsa{Responder: &tsp.Responder{Key: leafKey, Chain: []*x509.Certificate{leaf, root}, Accuracy: time.Second, Now: now}, root: root, key: rootKey}
}

// anchoredWorld has a timestamp authority on the same clock.
func anchoredWorld(t testing.TB) (*world, *tsa) {
	t.Helper()
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, nil, evidence.TSA{Client: s})
	return w, s
}

// anchoredPair is anchoredWorld with two envelopes, each under an anchor of its own.
func anchoredPair(t testing.TB) (*world, *tsa) {
	t.Helper()
	w, s := anchoredWorld(t)
	for _, env := range []string{"first", "nda-17"} {
		w.envelope(env)
		w.anchor()
	}
	return w, s
}

func (w *world) anchor() {
	w.t.Helper()
	for {
		n, err := w.log.Sequence(w.ctx)
		require.NoError(w.t, err)
		if n == 0 {
			break
		}
	}
	w.advance(time.Second)
	_, err := w.log.Anchor(w.ctx)
	require.NoError(w.t, err)
}

func TestAnchoredBundle(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	trust := w.trust(s.trustLines())

	t.Run("T13 T15 anchored evidence passes offline under given trust", func(t *testing.T) {
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: trust})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		assert.Empty(t, troubles(r))
		for _, code := range []string{evidence.CodeContainer, evidence.CodeManifest, evidence.CodeManifestNote, evidence.CodeEvent, evidence.CodeChain,
			evidence.CodeSeal, evidence.CodeLeaf, evidence.CodeInclusion, evidence.CodeCheckpoint, evidence.CodeConsistency, evidence.CodeAnchor,
			evidence.CodeDocument, evidence.CodeDisclosure} {
			assert.True(t, r.Has(code, evidence.Passed), code)
		}
		for _, x := range r.Windows {
			assert.False(t, x.NotBefore.IsZero(), "event %d", x.Seq)
			assert.False(t, x.NotAfter.IsZero(), "event %d", x.Seq)
			assert.True(t, x.NotBefore.Before(x.At) && x.At.Before(x.NotAfter), "event %d", x.Seq)
		}
	})
	t.Run("the first envelope has no lower side", func(t *testing.T) {
		r := verify(t, w.export("first", nil), &evidence.VerifyOptions{Keys: trust})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		assert.True(t, r.Windows[0].NotBefore.IsZero())
	})
	t.Run("without the authority's root it stays open", func(t *testing.T) {
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust()})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		assert.True(t, r.Has(evidence.CodeAnchorTrust, evidence.Indeterminate))
		assert.True(t, r.Has(evidence.CodeUnbound, evidence.Indeterminate))
	})
	t.Run("under another root it stays open", func(t *testing.T) {
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(newTSA(t, w.clock).trustLines())})
		assert.Equal(t, evidence.Indeterminate, r.Verdict, troubles(r))
	})
	t.Run("an old key ends at its size", func(t *testing.T) {
		old, err := evidence.ParseTrust(strings.NewReader("log " + w.log.VerifierKey() + " 3\n" + s.trustLines()))
		require.NoError(t, err)
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: old})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
	})
	t.Run("events after the last anchor leave the verdict open from there", func(t *testing.T) {
		_, err := w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "document.viewed", Actor: evidence.Actor{ID: "li"}})
		require.NoError(t, err)
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: trust})
		assert.Equal(t, evidence.Indeterminate, r.Verdict)
		require.Len(t, troubles(r), 1)
		assert.True(t, strings.HasPrefix(troubles(r)[0], "OPERATOR_UNBOUND INDETERMINATE 9 "), troubles(r))
		w.anchor()
		r = verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: trust})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	})
}

func TestAnchoredBundleEveryByte(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	for _, g := range regions(b) {
		if g.name == "HOWTO-VERIFY.txt" || g.name == "docs/nda-2.pdf" || g.name == "environment.json" {
			continue // TestBundleEveryByte
		}
		step := 29
		if *mutations >= 10000 {
			step = 1
		}
		for i := g.from; i < g.to; i += step {
			x := bytes.Clone(b)
			x[i] ^= 1 << (i % 8)
			r := verify(t, x, o)
			require.Equal(t, evidence.Failed, r.Verdict, "byte %d of %s", i, g.name)
			if g.name != "" {
				require.True(t, names(r, g.name), "byte %d of %s: %v", i, g.name, troubles(r))
			}
			if g.isData && g.name == "events.jsonl" {
				require.Equal(t, lineAt(b[g.from:g.to], i-g.from), r.FirstBad, "byte %d: %v", i-g.from, troubles(r))
			}
		}
	}
}

// Seen elsewhere: an inclusion proof that leads to a root nobody signed, a proof
// or token that belongs to another event.
func TestProofSwaps(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b, other := w.export("nda-17", nil), w.export("first", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	for name, change := range map[string]func(f map[string][]byte){
		"proof of another event":    func(f map[string][]byte) { f["proofs/2.tlog-proof"] = f["proofs/3.tlog-proof"] },
		"proof of another envelope": func(f map[string][]byte) { f["proofs/2.tlog-proof"] = mustEntry(other, "proofs/2.tlog-proof") },
		"proof removed":             func(f map[string][]byte) { delete(f, "proofs/2.tlog-proof") },
		"old checkpoint":            func(f map[string][]byte) { f["anchors/16-checkpoint.txt"] = f["anchors/8-checkpoint.txt"] },
		"old token":                 func(f map[string][]byte) { f["anchors/16-tsa.tsr"] = f["anchors/8-tsa.tsr"] },
		"token removed":             func(f map[string][]byte) { delete(f, "anchors/16-tsa.tsr") },
		"consistency removed":       func(f map[string][]byte) { delete(f, "consistency/8-16.txt") },
		"extra in a proof": func(f map[string][]byte) {
			f["proofs/2.tlog-proof"] = bytes.Replace(f["proofs/2.tlog-proof"], []byte("\nindex"), []byte("\nextra AAAA\nindex"), 1)
		},
		"unsigned root": func(f map[string][]byte) {
			cp := f["anchors/16-checkpoint.txt"]
			f["anchors/16-checkpoint.txt"] = append(bytes.Clone(cp[:bytes.Index(cp, []byte("\n\n"))+2]), "— sign.example.com/log AAAAAAAA\n"...)
		},
	} {
		r := verify(t, repack(b, change), o)
		assert.Equal(t, evidence.Failed, r.Verdict, name)
	}
}

func TestSequencer(t *testing.T) {
	t.Parallel()
	t.Run("a failing anchor blocks nothing and is repeated", func(t *testing.T) {
		w, s := anchoredWorld(t)
		s.down.Store(true)
		w.envelope("nda-17")
		_, err := w.log.Sequence(w.ctx)
		require.NoError(t, err)
		_, err = w.log.Anchor(w.ctx)
		require.Error(t, err)
		w.envelope("nda-18")
		s.down.Store(false)
		w.anchor()
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		ok, err := w.log.Anchor(w.ctx)
		require.NoError(t, err)
		assert.False(t, ok, "nothing new, nothing sent")
	})
	t.Run("any number may run", func(t *testing.T) {
		w, s := anchoredWorld(t)
		for i := range 20 {
			w.envelope(strings.Repeat("e", i+1))
		}
		done := make(chan int)
		for range 4 {
			go func() {
				total := 0
				for range 20 {
					n, err := w.log.Sequence(w.ctx)
					if err != nil {
						continue // lost too often; the others went on
					}
					total += n
				}
				done <- total
			}()
		}
		total := 0
		for range 4 {
			total += <-done
		}
		assert.Equal(t, 20*envelopeEvents, total)
		cp, err := w.log.Checkpoint(w.ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 20*envelopeEvents, cp.Size)
		w.anchor()
		r := verify(t, w.export("eeeee", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	})
	t.Run("across tile borders", func(t *testing.T) {
		w, s := anchoredWorld(t)
		for i := range 70 { // 560 leaves
			w.envelope(fmt.Sprintf("env-%d", i))
			if i%13 == 0 {
				w.anchor()
			}
		}
		w.anchor()
		for _, i := range []int{0, 1, 30, 31, 32, 33, 69} {
			r := verify(t, w.export(fmt.Sprintf("env-%d", i), nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
			assert.Equal(t, evidence.Passed, r.Verdict, "%d: %v", i, troubles(r))
		}
	})
	t.Run("the heartbeat comes once an hour", func(t *testing.T) {
		w, _ := anchoredWorld(t)
		for range 5 {
			require.NoError(t, w.log.Beat(w.ctx))
			w.advance(31 * time.Minute)
		}
		n := 0
		for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
			require.NoError(t, err)
			assert.Equal(t, evidence.TypeBeat, e.Type)
			n++
		}
		assert.Equal(t, 3, n)
		w.anchor()
		cp, err := w.log.Checkpoint(w.ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 3, cp.Size)
		var b bytes.Buffer
		_, err = w.log.Export(w.ctx, "_", "log", &b, nil)
		require.NoError(t, err)
		r := verify(t, b.Bytes(), &evidence.VerifyOptions{Keys: w.trust()})
		assert.NotEqual(t, evidence.Failed, r.Verdict, troubles(r))
	})
}

// The log goes on under a new key; the old one stays good for what it signed.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w, s := anchoredWorld(t)
	w.envelope("first")
	w.anchor()
	oldKey := w.log.VerifierKey()
	config := evidence.Config{LogSigner: newTestKey(9), Origin: origin, Store: w.mem, Vault: w.vault, Now: w.clock, Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}
	fresh := must(evidence.New(config))
	w.log = fresh
	w.envelope("nda-17")
	_, err := w.log.Sequence(w.ctx)
	require.ErrorIs(t, err, storage.ErrCorrupt, "a key that is nobody's builds on nothing")
	config.Former = []string{oldKey}
	w.log = must(evidence.New(config))
	w.anchor()
	trust, err := evidence.ParseTrust(strings.NewReader("log " + oldKey + " 8\nlog " + w.log.VerifierKey() + "\n" + s.trustLines()))
	require.NoError(t, err)
	for _, env := range []string{"first", "nda-17"} {
		r := verify(t, w.export(env, nil), &evidence.VerifyOptions{Keys: trust})
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	}
	config.Former = []string{"elsewhere+00000000+AAAA"}
	_, err = evidence.New(config)
	require.Error(t, err)
}

// A4: while one key replaces another both sign, so that verifiers who know either
// follow the log; before and after, each knows what its key signed.
func TestKeyRotationOverlaps(t *testing.T) {
	t.Parallel()
	w, s := anchoredWorld(t)
	config := evidence.Config{LogSigner: w.key, Second: newTestKey(9), Origin: origin, Store: w.mem, Vault: w.vault, Now: w.clock, Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}
	both := must(evidence.New(config))
	oldKey, newKey := both.VerifierKey(), both.SecondKey()
	assert.Equal(t, w.log.VerifierKey(), oldKey)
	assert.Empty(t, w.log.SecondKey())
	w.log = both
	w.envelope("nda-17")
	w.anchor()
	judged := func(keys ...string) *evidence.Report {
		trust, err := evidence.ParseTrust(strings.NewReader("log " + strings.Join(keys, "\nlog ") + "\n" + s.trustLines()))
		require.NoError(t, err)
		return verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: trust})
	}
	assert.Equal(t, evidence.Passed, judged(oldKey).Verdict)
	assert.Equal(t, evidence.Passed, judged(oldKey, newKey).Verdict)
	r := judged(newKey)
	assert.Equal(t, evidence.Indeterminate, r.Verdict, "the manifest is by the first key")
	assert.True(t, r.Has(evidence.CodeCheckpoint, evidence.Passed), troubles(r))

	// Who knows both keys rejects a note that one of them signed in vain, as C2SP
	// signed-note does; who knows one does not see the other.
	held := must(w.log.Receipt(w.ctx, "acme", "nda-17"))
	lines := strings.SplitAfter(held.Proof, origin+" ")
	require.Len(t, lines, 3, "two signatures")
	for i, known := range []string{newKey, oldKey} {
		bad, list := held, slices.Clone(lines)
		sig := []byte(list[i+1])
		if sig[30] == 'A' {
			sig[30] = 'B'
		} else {
			sig[30] = 'A'
		}
		list[i+1] = string(sig)
		bad.Proof = strings.Join(list, "")
		one, err := evidence.ParseTrust(strings.NewReader("log " + known))
		require.NoError(t, err)
		_, err = evidence.Compare(held, bad, &evidence.VerifyOptions{Keys: one})
		require.NoError(t, err)
		_, err = evidence.Compare(held, bad, &evidence.VerifyOptions{Keys: both.Trust()})
		require.ErrorIs(t, err, evidence.ErrReceipt)
	}

	config.LogSigner, config.Second = config.Second, config.LogSigner
	w.log = must(evidence.New(config))
	assert.Equal(t, newKey, w.log.VerifierKey())
	assert.Equal(t, evidence.Passed, judged(newKey).Verdict, "its checkpoint had both signatures")
	config.Second, config.Former = nil, []string{oldKey}
	w.log = must(evidence.New(config))
	w.envelope("next")
	w.anchor()
	assert.Equal(t, evidence.Passed, judged(newKey).Verdict)
	_, err := evidence.Compare(held, held, &evidence.VerifyOptions{Keys: w.log.Trust()})
	require.NoError(t, err, "its own former key")

	t.Run("a signature that is not good", func(t *testing.T) {
		w, _ := anchoredWorld(t)
		config.LogSigner, config.Second, config.Store, config.Vault, config.Former = w.key, newTestKey(9), w.mem, w.vault, nil
		w.log = must(evidence.New(config))
		w.envelope("nda-17")
		require.NoError(t, w.log.Beat(w.ctx))
		w.anchor()
		key := storage.Key{Tenant: "_", Kind: "evidence.tree", ID: "head"}
		rec := must(w.mem.Get(w.ctx, []storage.Key{key}))[0]
		lines := strings.Split(string(rec.Data), origin+" ")
		require.Len(t, lines, 3, "two signatures")
		one, two := []byte(lines[1]), []byte(lines[2])
		for _, line := range [][]byte{one, two} {
			was := line[30]
			if line[30] = 'A'; was == 'A' {
				line[30] = 'B'
			}
			data := strings.Join([]string{lines[0], string(one), string(two)}, origin+" ")
			line[30] = was
			rec = must(w.mem.Get(w.ctx, []storage.Key{key}))[0]
			require.True(t, must(w.mem.Commit(w.ctx, []storage.Batch{{Writes: []storage.Write{{Key: key, Expect: rec.Version, Data: []byte(data)}}}}))[0].OK)
			_, err := w.log.Checkpoint(w.ctx)
			require.ErrorIs(t, err, storage.ErrCorrupt)
		}
	})
	config.Second = config.LogSigner
	_, err = evidence.New(config)
	require.Error(t, err)
}

// An operator whose clock lies: what outsiders prove stands beside the claim.
func TestClockOutsideWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ahead time.Duration
		want  evidence.Verdict
	}{"behind": {-time.Hour, evidence.Indeterminate}, "ahead": {time.Hour, evidence.Indeterminate}, "a little off": {20 * time.Second, evidence.Passed}} {
		var w *world
		var ahead time.Duration
		s := newTSA(t, func() time.Time { return w.clock().Add(-ahead) })
		w = newWorld(t, nil, evidence.TSA{Client: s})
		w.envelope("first")
		w.anchor()
		ahead = c.ahead
		w.advance(c.ahead)
		w.advance(time.Minute)
		w.envelope("nda-17")
		w.anchor()
		r := verify(t, w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())})
		assert.Equal(t, c.want, r.Verdict, "%s: %v", name, troubles(r))
		if c.want != evidence.Passed {
			assert.True(t, r.Has(evidence.CodeClock, evidence.Indeterminate), name)
			assert.Zero(t, r.FirstBad, name)
		}
	}
}
