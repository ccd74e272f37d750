package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A liar is a store whose records and entries somebody has edited.
type liar struct {
	storage.Store
	entries func(storage.Key, []storage.Entry) []storage.Entry
	record  func(storage.Record) storage.Record
}

func (l *liar) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if l.entries == nil {
		return l.Store.Entries(ctx, stream, after, limit)
	}
	var list []storage.Entry
	for at := uint64(0); ; {
		page, err := l.Store.Entries(ctx, stream, at, 500)
		if err != nil || len(page) == 0 {
			break
		}
		list, at = append(list, page...), page[len(page)-1].Seq
	}
	list = l.entries(stream, list)
	for i := range list {
		list[i].Seq = uint64(i) + 1
	}
	if after >= uint64(len(list)) {
		return nil, nil
	}
	list = list[after:]
	return list[:min(len(list), limit)], nil
}

func (l *liar) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	recs, err := l.Store.Get(ctx, keys)
	for i := range recs {
		if l.record != nil && recs[i].Version > 0 {
			recs[i] = l.record(recs[i])
		}
	}
	return recs, err
}

func (l *liar) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	recs, err := l.Store.List(ctx, tenant, kind, after, limit)
	for i := range recs {
		if l.record != nil {
			recs[i] = l.record(recs[i])
		}
	}
	return recs, err
}

func lyingWorld(t *testing.T) (*world, *liar) {
	l := &liar{}
	w := newWorld(t, func(s storage.Store) storage.Store { l.Store = s; return l })
	return w, l
}

func firstBad(t *testing.T, w *world, env string) uint64 {
	t.Helper()
	r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: env})
	require.NoError(t, err)
	if r.Verdict == evidence.Failed {
		assert.NotZero(t, r.FirstBad, troubles(r))
	}
	// Reading and exporting refuse with the same event.
	var tampered *evidence.TamperError
	last := uint64(0)
	for e, err := range w.log.Events(w.ctx, "acme", env, 0) {
		if err != nil {
			require.ErrorAs(t, err, &tampered)
			require.ErrorIs(t, err, evidence.ErrTampered)
			assert.Equal(t, r.FirstBad, tampered.Seq)
			break
		}
		last = e.Seq
	}
	if r.FirstBad > 0 {
		assert.Less(t, last, r.FirstBad, "nothing at or behind the break is yielded")
		_, err = w.log.Export(w.ctx, "acme", env, new(bytes.Buffer), nil)
		require.ErrorIs(t, err, evidence.ErrTampered)
	}
	return r.FirstBad
}

// P07, invariant 9: any change to a stored event is found and located.
func TestP07StoredEvents(t *testing.T) {
	t.Parallel()
	w, l := lyingWorld(t)
	w.envelope("nda-17")
	w.envelope("nda-18")
	require.Zero(t, firstBad(t, w, "nda-17"))
	mine := func(k storage.Key) bool { return k.Kind == "evidence.chain" && k.ID == "nda-17" }
	var foreign []storage.Entry
	l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
		if k.ID == "nda-18" {
			foreign = list
		}
		return list
	}
	for range w.log.Events(w.ctx, "acme", "nda-18", 0) {
	}
	require.Len(t, foreign, envelopeEvents)
	edit := func(name string, want uint64, f func([]storage.Entry) []storage.Entry) {
		t.Helper()
		l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
			if mine(k) {
				return f(list)
			}
			return list
		}
		assert.Equal(t, want, firstBad(t, w, "nda-17"), name)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for n := range uint64(envelopeEvents) {
		i := int(n)
		for range *mutations / 100 {
			at, bit := rnd.IntN(400), rnd.IntN(8)
			edit(fmt.Sprintf("byte %d of event %d", at, n+1), n+1, func(list []storage.Entry) []storage.Entry {
				list[i].Data[at%len(list[i].Data)] ^= 1 << bit
				return list
			})
		}
		edit("deleted", n+1, func(l []storage.Entry) []storage.Entry { return append(l[:i:i], l[i+1:]...) })
		if n+1 < envelopeEvents { // the head knows of no ninth entry
			edit("doubled", n+2, func(l []storage.Entry) []storage.Entry {
				return append(append(append([]storage.Entry{}, l[:i+1]...), l[i]), l[i+1:]...)
			})
		}
		edit("from another envelope", n+1, func(l []storage.Entry) []storage.Entry { l[i] = foreign[i]; return l })
		edit("tail cut", n+1, func(l []storage.Entry) []storage.Entry { return l[:i] })
		for j := range i {
			edit("swapped", uint64(j)+1, func(l []storage.Entry) []storage.Entry { l[i], l[j] = l[j], l[i]; return l })
		}
	}
	l.entries = nil
	t.Run("head rolled back", func(t *testing.T) {
		l.record = func(r storage.Record) storage.Record {
			if mine(r.Key) {
				r.Data = bytes.Replace(evidence.HeadJSON(r.Data), []byte(`"seq":8`), []byte(`"seq":7`), 1)
			}
			return r
		}
		assert.EqualValues(t, 7, firstBad(t, w, "nda-17"))
		l.record = nil
	})
}

// A forger who rewrites a chain with fresh hashes, head included, is caught by
// the tree: leaf = event (immudb linear-fake, #2063).
func TestRewrittenChain(t *testing.T) {
	t.Parallel()
	l := &liar{}
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, func(s storage.Store) storage.Store { l.Store = s; return l }, evidence.TSA{Client: s})
	w.envelope("nda-17")
	w.anchor()
	forger := newWorld(t, nil)
	forger.advance(1)
	forger.envelope("nda-17") // same origin and key, another past
	page, err := forger.mem.Entries(w.ctx, storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "nda-17"}, 0, 100)
	require.NoError(t, err)
	recs, err := forger.mem.Get(w.ctx, []storage.Key{{Tenant: "acme", Kind: "evidence.chain", ID: "nda-17"}})
	require.NoError(t, err)
	l.entries = func(_ storage.Key, list []storage.Entry) []storage.Entry { return page }
	l.record = func(r storage.Record) storage.Record {
		if r.Key.Kind == "evidence.chain" && r.Key.ID == "nda-17" {
			r.Data = recs[0].Data
		}
		return r
	}
	r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
	require.NoError(t, err)
	assert.Equal(t, evidence.Failed, r.Verdict)
	assert.True(t, r.Has(evidence.CodeLoss, evidence.Failed), "commitments of the forged past open nothing")
	assert.EqualValues(t, 3, r.FirstBad, "the first two events are the same in both pasts: %v", troubles(r))
	var tampered *evidence.TamperError
	_, err = w.log.Export(w.ctx, "acme", "nda-17", new(bytes.Buffer), &evidence.ExportOptions{DigestsOnly: true})
	require.ErrorAs(t, err, &tampered, "nothing is signed over a forged chain")
	assert.EqualValues(t, 3, tampered.Seq)
}

func TestLostValueIsExplainedOrFound(t *testing.T) {
	t.Parallel()
	w, l := lyingWorld(t)
	w.envelope("nda-17")
	for name, kind := range map[string]string{"seed": "privacy.seed", "alias": "privacy.alias"} {
		l.record = func(r storage.Record) storage.Record {
			if r.Key.Kind == kind {
				r.Version, r.Data = 0, nil
			}
			return r
		}
		r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
		require.NoError(t, err)
		assert.True(t, r.Has(evidence.CodeLoss, evidence.Failed), name)
		_, err = w.log.Export(w.ctx, "acme", "nda-17", new(bytes.Buffer), &evidence.ExportOptions{DigestsOnly: true, Disclose: all})
		assert.ErrorIs(t, err, evidence.ErrLoss, name)
	}
	l.record = func(r storage.Record) storage.Record {
		if r.Key.Kind == "privacy.seed" { // sealed bytes of another event
			r.Data[len(r.Data)-1] ^= 1
		}
		return r
	}
	r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
	require.NoError(t, err)
	assert.True(t, r.Has(evidence.CodeLoss, evidence.Failed))
	l.record = nil
	_, err = w.vault.EraseSubject(w.ctx, privacy.Subject{Tenant: "acme", ID: "li"}) // behind the log's back
	require.NoError(t, err)
	r, err = w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
	require.NoError(t, err)
	assert.True(t, r.Has(evidence.CodeLoss, evidence.Failed))
	_, err = w.log.EraseSubject(w.ctx, privacy.Subject{Tenant: "acme", ID: "nobody"}, evidence.Actor{ID: "dpo"}, "request")
	assert.True(t, errors.Is(err, privacy.ErrNotFound))
}

// P17 T32: erase a person, and every proof still verifies.
func TestEraseThenVerify(t *testing.T) {
	t.Parallel()
	for mask := range 4 {
		w, s := anchoredWorld(t)
		w.envelope("nda-17")
		w.anchor()
		before := w.export("nda-17", nil)
		erased := map[string]bool{}
		for i, id := range []string{"li", "wang"} {
			if mask>>i&1 == 0 {
				continue
			}
			erased[id] = true
			sub := privacy.Subject{Tenant: "acme", ID: id}
			rec, err := w.log.EraseSubject(w.ctx, sub, evidence.Actor{ID: "dpo", Role: "privacy"}, "request")
			require.NoError(t, err)
			assert.Equal(t, privacy.Shredded, rec.State)
			again, err := w.log.EraseSubject(w.ctx, sub, evidence.Actor{ID: "dpo"}, "request")
			require.NoError(t, err)
			assert.Equal(t, rec.At, again.At, "repeating changes nothing")
		}
		w.anchor()
		o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
		b := w.export("nda-17", nil)
		r := verify(t, b, o)
		assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
		assert.EqualValues(t, envelopeEvents+len(erased), r.Claim.Last)
		assert.Equal(t, evidence.Passed, verify(t, before, o).Verdict, "what was handed out before stays right")
		for id, phone := range map[string]string{"li": "13800138000", "wang": "13900139000"} {
			assert.Equal(t, !erased[id], bytes.Contains(b, []byte(phone)), id)
		}
		audit, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
		require.NoError(t, err)
		assert.Equal(t, evidence.Passed, audit.Verdict, troubles(audit))
	}
}
