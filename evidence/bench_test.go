package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// BenchmarkFloor is F of the performance table: one SHA-256 of 832 bytes.
func BenchmarkFloor(b *testing.B) {
	buf := make([]byte, 832)
	for b.Loop() {
		sha256.Sum256(buf)
	}
}

func (w *world) sixCommitments(tb testing.TB) []evidence.Personal {
	ip := must(privacy.NewIP("203.0.113.7"))
	ua := must(privacy.NewText("Mozilla/5.0 (X11; Linux x86_64)"))
	var out []evidence.Personal
	for _, id := range []string{"li", "wang"} {
		s := privacy.Subject{Tenant: "acme", ID: id}
		out = append(out, evidence.Personal{Subject: s, Value: mustPhone(tb, "13800138000")}, evidence.Personal{Subject: s, Value: ip},
			evidence.Personal{Subject: s, Field: privacy.FieldUserAgent, Value: ua})
	}
	return out
}

// BenchmarkAppend is one event with 6 commitments of 2 subjects, in memory.
func BenchmarkAppend(b *testing.B) {
	w := newWorld(b, nil)
	pd := w.sixCommitments(b)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		d := evidence.Draft{Tenant: "acme", Env: fmt.Sprintf("e%d", i/20), Type: "code.checked", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"}, Personal: pd}
		err := storage.Update(w.ctx, w.mem, func(tx *storage.Tx) error { _, err := w.log.AppendTx(w.ctx, tx, d); return err })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseEvent(b *testing.B) {
	w := newWorld(b, nil)
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "code.checked", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"}, Personal: w.sixCommitments(b)}))
	var raw []byte
	for e := range w.log.Events(w.ctx, "acme", "e", 0) {
		raw = e.Bytes()
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := evidence.ParseEvent(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSequence is the tree's share of an event.
func BenchmarkSequence(b *testing.B) {
	w := newWorld(b, nil)
	n := 0
	for b.Loop() {
		b.StopTimer()
		for i := range 1000 {
			must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: fmt.Sprintf("s%d-%d", n, i%50), Type: "session.login", Actor: evidence.Actor{ID: "u"}}))
		}
		n++
		b.StartTimer()
		must(w.log.Sequence(w.ctx))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// BenchmarkVerify is a bundle of 50 events, 10 parties, 3 tokens, digests only.
func BenchmarkVerify(b *testing.B) {
	w, s := bigBundle(b)
	f := w.export("e", &evidence.ExportOptions{DigestsOnly: true})
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	b.SetBytes(int64(len(f)))
	for b.Loop() {
		r, err := evidence.Verify(bytes.NewReader(f), int64(len(f)), o)
		if err != nil || r.Verdict == evidence.Failed {
			b.Fatal(err, r)
		}
	}
}

// bigBundle is a log with an envelope of 50 events, 10 parties and 3 tokens.
func bigBundle(b testing.TB) (*world, *tsa) {
	w, s := anchoredWorld(b)
	for i := range 50 {
		id := fmt.Sprintf("p%d", i%10)
		must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "recipient.signed", Actor: evidence.Actor{ID: id, Role: "signer", Account: id},
			Docs:     []evidence.DocChange{{ID: "nda", Rev: i, After: evidence.DigestsOf([]byte{byte(i)})}},
			Personal: []evidence.Personal{{Subject: privacy.Subject{Tenant: "acme", ID: id}, Value: mustPhone(b, "13800138000")}}}))
		if i%17 == 16 {
			w.anchor()
		}
	}
	w.anchor()
	return w, s
}
