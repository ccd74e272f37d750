package evidence_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// TestStoredTree edits the records of tree, anchors and watermarks one at a time
// and lets the log go on. Whatever happens, no bundle passes that contradicts
// a receipt handed out before, and most edits stop the log at once.
func TestStoredTree(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	stopped := map[string]int{}
	tried := map[string]int{}
	for range max(60, *mutations/20) {
		l := &liar{}
		var w *world
		s := newTSA(t, func() time.Time { return w.clock() })
		w = newWorld(t, func(s storage.Store) storage.Store { l.Store = s; return l }, evidence.TSA{Client: s})
		w.envelope("first")
		w.anchor()
		w.envelope("nda-17")
		w.anchor()
		o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines()), Held: []evidence.Receipt{receipt(t, w, "nda-17")}}
		kinds := []string{"evidence.tile", "evidence.tree", "evidence.anchor", "evidence.newest", "evidence.mark"}
		kind := kinds[rnd.IntN(len(kinds))]
		at, bit := rnd.IntN(4000), rnd.IntN(8)
		l.record = func(r storage.Record) storage.Record {
			if r.Key.Kind == kind && len(r.Data) > 0 {
				r.Data[at%len(r.Data)] ^= 1 << bit
			}
			return r
		}
		tried[kind]++
		var out bytes.Buffer
		err := func() error {
			if _, err := w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "document.viewed", Actor: evidence.Actor{ID: "li"}}); err != nil {
				return err
			}
			if _, err := w.log.Sequence(w.ctx); err != nil {
				return err
			}
			w.advance(time.Second)
			if _, err := w.log.Anchor(w.ctx); err != nil {
				return err
			}
			_, err := w.log.Export(w.ctx, "acme", "nda-17", &out, &evidence.ExportOptions{
				Documents: []evidence.Document{{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract))}}})
			return err
		}()
		if err != nil {
			stopped[kind]++
			continue
		}
		r := verify(t, out.Bytes(), o)
		if r.Verdict == evidence.Passed { // an edit that changed nothing of weight, such as a date
			assert.EqualValues(t, envelopeEvents+1, r.Claim.Last)
			assert.Contains(t, []string{"evidence.newest", "evidence.mark", "evidence.anchor", "evidence.tree"}, kind, "byte %d bit %d", at, bit)
			continue
		}
		stopped[kind]++
	}
	for kind, n := range stopped {
		assert.Positive(t, n, kind)
	}
	assert.Equal(t, tried["evidence.tile"], stopped["evidence.tile"], "no tile can be changed unseen")
	t.Log(fmt.Sprint("tried ", tried, ", found ", stopped))
}

// A tree head that the log did not sign is not built upon.
func TestEditedTreeHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("first")
	must(w.log.Sequence(w.ctx))
	key := storage.Key{Tenant: "_", Kind: "evidence.tree", ID: "head"}
	recs, err := w.mem.Get(w.ctx, []storage.Key{key})
	require.NoError(t, err)
	edited := bytes.Replace(recs[0].Data, []byte(`"size":8`), []byte(`"size":4`), 1)
	require.NotEqual(t, edited, recs[0].Data)
	require.NoError(t, storage.Update(w.ctx, w.mem, func(tx *storage.Tx) error { return tx.Put(key, edited, time.Time{}) }))
	w.envelope("second")
	_, err = w.log.Sequence(w.ctx)
	require.ErrorIs(t, err, storage.ErrCorrupt)
	_, err = w.log.Checkpoint(w.ctx)
	require.ErrorIs(t, err, storage.ErrCorrupt)
}
