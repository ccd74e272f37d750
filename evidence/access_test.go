package evidence_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// P07: heartbeats put the ends of access logs on the log's chain, each that grew since
// the last one once, and an audit finds a log that was cut or changed afterwards.
func TestBeat_P07_AccessLogs(t *testing.T) {
	t.Parallel()
	w, l := lyingWorld(t)
	read := func(n int) {
		for i := range n {
			s := privacy.Subject{Tenant: "acme", ID: fmt.Sprintf("p%d", i)}
			ref := privacy.Ref{}
			require.NoError(t, storage.Update(w.ctx, w.mem, func(tx *storage.Tx) (err error) {
				ref, err = w.vault.PutTx(w.ctx, tx, s, privacy.FieldPhone, mustPhone(t, "13800138000"))
				return err
			}))
			_, err := w.vault.Reveal(w.ctx, ref, privacy.PurposeSigning)
			require.NoError(t, err)
		}
	}
	told := func() (heads []map[string]any) {
		for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
			require.NoError(t, err)
			if e.Type == evidence.TypeAccess {
				for _, x := range e.X["heads"].([]any) {
					heads = append(heads, x.(map[string]any))
				}
			}
		}
		return heads
	}
	audit := func() *evidence.Report {
		r := must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "_", Env: "log"}))
		every := must(w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "_"}))
		assert.Equal(t, r.Verdict, every.Verdict)
		return r
	}
	require.NoError(t, w.log.Beat(w.ctx))
	assert.Empty(t, told(), "nobody has read anything")
	read(60)
	require.NoError(t, w.log.Beat(w.ctx))
	assert.Empty(t, told(), "the hour is not over")
	w.advance(time.Hour)
	require.NoError(t, w.log.Beat(w.ctx))
	first := told()
	require.Len(t, first, 16, "every stream of the tenant")
	w.advance(time.Hour)
	require.NoError(t, w.log.Beat(w.ctx))
	assert.Len(t, told(), 16, "none has grown")
	read(1)
	w.advance(time.Hour)
	require.NoError(t, w.log.Beat(w.ctx))
	assert.Len(t, told(), 17, "one has")
	r := audit()
	assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	assert.True(t, r.Has(evidence.CodeAccess, evidence.Passed))

	stream := told()[16]["stream"].(string)
	mine := func(k storage.Key) bool { return k.Kind == "privacy.access" && k.ID == stream }
	for name, lie := range map[string]func(){
		"an entry changed": func() {
			l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
				if mine(k) {
					list[len(list)-1].Data = bytes.Replace(list[len(list)-1].Data, []byte("clerk"), []byte("nurse"), 1)
				}
				return list
			}
		},
		"the tail cut, and the head with it": func() {
			l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
				if mine(k) {
					list = list[:len(list)-1]
				}
				return list
			}
			l.record = func(r storage.Record) storage.Record {
				if mine(r.Key) {
					r.Data = bytes.Replace(r.Data, fmt.Appendf(nil, `"seq":%d`, told17(t, w)), fmt.Appendf(nil, `"seq":%d`, told17(t, w)-1), 1)
				}
				return r
			}
		},
		"the log gone": func() {
			l.record = func(r storage.Record) storage.Record {
				if mine(r.Key) {
					r.Version, r.Data = 0, nil
				}
				return r
			}
		},
	} {
		lie()
		r := audit()
		assert.Equal(t, evidence.Failed, r.Verdict, name)
		assert.True(t, r.Has(evidence.CodeAccess, evidence.Failed), "%s: %v", name, troubles(r))
		assert.Zero(t, r.FirstBad, "%s: the event is right, the log is not", name)
		l.entries, l.record = nil, nil
	}
	assert.Equal(t, evidence.Passed, audit().Verdict)
}

func told17(t *testing.T, w *world) int64 {
	var n int64
	for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
		require.NoError(t, err)
		if e.Type == evidence.TypeAccess {
			list := e.X["heads"].([]any)
			n = list[len(list)-1].(map[string]any)["n"].(int64)
		}
	}
	return n
}

// A4: a heartbeat says how far the clock was from the newest timestamp's.
func TestBeat_A4_ClockOffset(t *testing.T) {
	t.Parallel()
	w, s := anchoredWorld(t)
	s.Responder.Now = func() time.Time { return w.clock().Add(-42 * time.Second) }
	w.envelope("e")
	w.anchor()
	w.advance(time.Hour)
	require.NoError(t, w.log.Beat(w.ctx))
	for e, err := range w.log.Events(w.ctx, "_", "log", 0) {
		require.NoError(t, err)
		assert.InDelta(t, 42000, e.X["clock_offset_ms"], 1000)
		assert.Equal(t, true, e.X["self_test"])
	}
}

// T16: an audit, too, holds what an event says that a document was before against what
// an earlier event left.
func TestAudit_T16_DocumentBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	a, b, c := evidence.DigestsOf([]byte("a")), evidence.DigestsOf([]byte("b")), evidence.DigestsOf([]byte("c"))
	for _, d := range []evidence.DocChange{{ID: "nda", After: a}, {ID: "nda", Rev: 1, Before: a, After: b}, {ID: "nda", Rev: 2, Before: c, After: c}} {
		must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "document.uploaded", Actor: evidence.Actor{ID: "hr"}, Docs: []evidence.DocChange{d}}))
	}
	for _, env := range []string{"e", ""} {
		r := must(w.log.Audit(context.Background(), &evidence.AuditOptions{Tenant: "acme", Env: env}))
		assert.Equal(t, evidence.Failed, r.Verdict)
		assert.True(t, r.Has(evidence.CodeDocument, evidence.Failed), troubles(r))
		assert.EqualValues(t, 3, r.FirstBad)
	}
}
