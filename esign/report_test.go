package esign_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// grant gives an account units of a kind for a year.
func (w *site) grant(svc *esign.Service, who string, unit quota.Unit, n quota.Units) {
	w.t.Helper()
	_, err := svc.Quota().Grant(w.t.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID(fmt.Sprintf("%s-%s", unit, who)),
		Account: quota.AccountID(who), Unit: unit, Units: n, Source: quota.Bought, From: w.clock(), Until: w.clock().AddDate(1, 0, 0)})
	require.NoError(w.t, err)
}

func (w *site) reportUnits(svc *esign.Service, who string) []quota.Units {
	w.t.Helper()
	lots, err := svc.Quota().Lots(w.t.Context(), quota.BalanceRequest{Tenant: tenant, Account: quota.AccountID(who)})
	require.NoError(w.t, err)
	for _, l := range lots {
		if l.Unit == quota.UnitReport {
			return []quota.Units{l.Available(), l.Held, l.Used}
		}
	}
	return nil
}

// completed is a site with one completed envelope and units for reports.
func completed(t testing.TB, reports quota.Units) (*site, *esign.Service) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	_, err := w.sign(svc, "e1", "li")
	require.NoError(t, err)
	_, err = svc.Deliver(t.Context())
	require.NoError(t, err)
	if reports > 0 {
		w.grant(svc, "hr", quota.UnitReport, reports)
	}
	return w, svc
}

// TestReport_T52: issued on request, paid, only if process and result qualify.
func TestReport_T52_IssuedOnceAndPaid(t *testing.T) {
	t.Parallel()
	w, svc := completed(t, 2)
	ctx := t.Context()
	ask := esign.ReportRequest{ID: "r1", Envelope: "e1"}
	app, err := svc.ApplyReport(ctx, actor("hr"), ask)
	require.NoError(t, err)
	assert.Equal(t, evidence.Issued, app.Stage)
	assert.Equal(t, []quota.Units{1, 0, 1}, w.reportUnits(svc, "hr"))
	again, err := svc.ApplyReport(ctx, actor("hr"), ask)
	require.NoError(t, err)
	assert.Equal(t, app, again)

	var bundle bytes.Buffer
	require.NoError(t, svc.WriteReportBundle(ctx, actor("hr"), "r1", &bundle))
	sum := sha256.Sum256(bundle.Bytes())
	assert.Equal(t, storage.Hex(sum[:]), app.Bundle, "the report pins its bundle")
	files, err := zip.NewReader(bytes.NewReader(bundle.Bytes()), int64(bundle.Len()))
	require.NoError(t, err)
	trust, err := evidence.ParseTrust(strings.NewReader("log " + svc.Evidence().VerifierKey() + "\n"))
	require.NoError(t, err)
	signed := func(string, io.ReaderAt, int64) (evidence.Verdict, error) { return evidence.Indeterminate, nil }
	for _, lang := range []string{evidence.LangChinese, evidence.LangEnglish} {
		var inside bytes.Buffer
		require.NoError(t, evidence.WriteReport(&inside, bytes.NewReader(bundle.Bytes()), int64(bundle.Len()), &evidence.ReportOptions{
			Lang: lang, Inside: true, Number: "r1", Kind: evidence.SigningReport, Verify: &evidence.VerifyOptions{Keys: trust, Document: signed}}))
		within, err := fs.ReadFile(files, "report."+lang+".pdf")
		require.NoError(t, err, "the bundle holds its report")
		assert.Equal(t, inside.Bytes(), within, "which is a view of the bundle, too")
		var one, two bytes.Buffer
		require.NoError(t, svc.WriteReport(ctx, actor("hr"), "r1", lang, &one))
		require.NoError(t, svc.WriteReport(ctx, actor("hr"), "r1", lang, &two))
		assert.Equal(t, one.Bytes(), two.Bytes(), "a view, made again at will")
		assert.True(t, bytes.HasPrefix(one.Bytes(), []byte("%PDF-")))
	}
	assert.Equal(t, []quota.Units{1, 0, 1}, w.reportUnits(svc, "hr"), "another view is free")
	for _, stage := range []string{"applied", "accepted", "extracted", "verified", "issued"} {
		assert.Equal(t, 1, w.count(svc, "e1", "report."+stage), stage)
	}

	t.Run("its applicant's alone", func(t *testing.T) {
		require.ErrorIs(t, svc.WriteReport(ctx, actor("li"), "r1", "", io.Discard), esign.ErrNotFound)
		other := actor("hr")
		other.Tenant = "other"
		require.ErrorIs(t, svc.WriteReport(ctx, other, "r1", "", io.Discard), esign.ErrNotFound)
	})
	t.Run("no party, no report", func(t *testing.T) {
		_, err := svc.ApplyReport(ctx, actor("wang"), esign.ReportRequest{ID: "r2", Envelope: "e1"})
		require.ErrorIs(t, err, esign.ErrNotFound)
	})
	t.Run("without units refused, and nothing is charged", func(t *testing.T) {
		_, err := svc.ApplyReport(ctx, actor("li"), esign.ReportRequest{ID: "r3", Envelope: "e1"})
		require.ErrorIs(t, err, esign.ErrTermsNotAccepted, "H01")
		_, err = svc.Terms().Accept(ctx, privacy.Acceptance{Tenant: tenant, Account: "li", Document: "membership", Act: privacy.ActTick})
		require.NoError(t, err)
		app, err := svc.ApplyReport(ctx, actor("li"), esign.ReportRequest{ID: "r3", Envelope: "e1"})
		require.NoError(t, err)
		assert.Equal(t, evidence.Refused, app.Stage)
		assert.Equal(t, evidence.NotPaid, app.Why)
		require.ErrorIs(t, svc.WriteReport(ctx, actor("li"), "r3", "", io.Discard), esign.ErrForbidden)
	})
	t.Run("another request under the id", func(t *testing.T) {
		_, err := svc.ApplyReport(ctx, actor("li"), ask)
		require.ErrorIs(t, err, esign.ErrIntentMismatch)
	})
	t.Run("T49 an authority names basis, order and a second person", func(t *testing.T) {
		w.grant(svc, "police", quota.UnitReport, 1)
		_, err := svc.Terms().Accept(ctx, privacy.Acceptance{Tenant: tenant, Account: "police", Document: "membership", Act: privacy.ActTick})
		require.NoError(t, err)
		good := esign.Authority{Basis: privacy.BasisCourt, Document: strings.Repeat("a", 64), Approver: "boss"}
		for _, bad := range []func(*esign.Authority){
			func(g *esign.Authority) { g.Basis = privacy.BasisTerms }, func(g *esign.Authority) { g.Document = "order 7" },
			func(g *esign.Authority) { g.Approver = "police" }, func(g *esign.Authority) { g.Document = strings.Repeat("x", 64) },
			func(g *esign.Authority) { g.Document = strings.Repeat("A", 64) },
		} {
			g := good
			bad(&g)
			_, err := svc.ApplyReport(ctx, actor("police"), esign.ReportRequest{ID: "r4", Envelope: "e1", Authority: &g})
			require.ErrorIs(t, err, esign.ErrField)
		}
		app, err := svc.ApplyReport(ctx, actor("police"), esign.ReportRequest{ID: "r4", Envelope: "e1", Authority: &good})
		require.NoError(t, err)
		assert.Equal(t, evidence.Issued, app.Stage)
		given := 0
		for a, err := range svc.Privacy().Accesses(ctx, privacy.Subject{Tenant: tenant, ID: "li"}) {
			require.NoError(t, err)
			if a.To == "police" && a.Basis == privacy.BasisCourt {
				given++
			}
		}
		assert.Equal(t, 1, given, "T46 P15: the disclosure is on record")
	})
}

// A4 T52: a report stays what it is when the log has another key.
func TestReport_T52_OutlivesTheLogsKey(t *testing.T) {
	t.Parallel()
	w, svc := completed(t, 1)
	_, err := svc.ApplyReport(t.Context(), actor("hr"), esign.ReportRequest{ID: "r1", Envelope: "e1"})
	require.NoError(t, err)
	view := func(svc *esign.Service) []byte {
		var b bytes.Buffer
		require.NoError(t, svc.WriteReport(t.Context(), actor("hr"), "r1", "", &b))
		return b.Bytes()
	}
	want := view(svc)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	c := w.config(w.store, w.blobs)
	c.Evidence.LogSigner, c.Evidence.Former = key, []string{svc.Evidence().VerifierKey()}
	later, err := esign.New(c)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, view(later)))
}

// TestReport_T52: what has not ended, or ended otherwise, does not qualify.
func TestReport_T52_ProcessMustQualify(t *testing.T) {
	t.Parallel()
	w, svc := completed(t, 2)
	ctx := t.Context()
	w.send(svc, "e2", w.invitee("li", 1, esign.ChannelApp))
	_, err := svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r1", Envelope: "e2"})
	require.ErrorIs(t, err, esign.ErrState)
	_, err = svc.Revoke(ctx, actor("hr"), esign.End{ID: "no", Envelope: "e2", Reason: "a wrong price"})
	require.NoError(t, err)
	app, err := svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r2", Envelope: "e2"})
	require.NoError(t, err)
	assert.Equal(t, evidence.ProcessNotConforming, app.Why)
	assert.Equal(t, []quota.Units{2, 0, 0}, w.reportUnits(svc, "hr"))
	app, err = svc.ApplyReport(ctx, actor("hr"), esign.ReportRequest{ID: "r3", Envelope: "e2", Kind: evidence.VerificationOnly})
	require.NoError(t, err)
	assert.Equal(t, evidence.Issued, app.Stage, "that it was voided can be attested")
}

// badBlobs fails to open or to read blobs: all of them, or once it has created one.
type badBlobs struct {
	storage.Blobs
	open, read error
	later      bool
}

type badBlob struct {
	storage.Blob
	err error
}

func (b *badBlobs) Create(ctx context.Context, id string, r io.Reader) (int64, error) {
	b.later = false
	return b.Blobs.Create(ctx, id, r)
}

func (b *badBlobs) Open(ctx context.Context, id string) (storage.Blob, error) {
	if b.open != nil && !b.later {
		return nil, b.open
	}
	got, err := b.Blobs.Open(ctx, id)
	if err == nil && b.read != nil && !b.later {
		got = badBlob{got, b.read}
	}
	return got, err
}

func (b badBlob) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// T52: what can never be bundled is refused, and its unit comes back; after any other
// failure the application goes on where it was.
func TestReport_T52_WhatCannotBeExtracted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bad badBlobs
		why evidence.Refusal
	}{
		"too large for a bundle": {badBlobs{read: fmt.Errorf("blob: %w", evidence.ErrTooLarge)}, evidence.TooLarge},
		"a damaged document":     {badBlobs{open: storage.ErrCorrupt}, evidence.ResultNotConforming},
		"a document cut short":   {badBlobs{read: storage.ErrCorrupt}, evidence.ResultNotConforming},
		"a damaged bundle":       {badBlobs{open: storage.ErrCorrupt, later: true}, evidence.ResultNotConforming},
		"a bundle cut short":     {badBlobs{read: storage.ErrCorrupt, later: true}, evidence.ResultNotConforming},
		"a bundle out of reach":  {badBlobs{open: errors.New("no network"), later: true}, ""},
		"blobs out of reach":     {badBlobs{open: errors.New("no network")}, ""},
		"blobs that break off":   {badBlobs{read: errors.New("no network")}, ""},
		"a document not there":   {badBlobs{open: storage.ErrNotFound}, ""},
		"of a newer release":     {badBlobs{open: storage.ErrNewer}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, svc := completed(t, 1)
			ask := esign.ReportRequest{ID: "r1", Envelope: "e1"}
			c.bad.Blobs = w.blobs
			failing, err := esign.New(w.config(w.store, &c.bad))
			require.NoError(t, err)
			app, err := failing.ApplyReport(t.Context(), actor("hr"), ask)
			if c.why != "" {
				require.NoError(t, err)
				assert.Equal(t, evidence.Refused, app.Stage)
				assert.Equal(t, c.why, app.Why)
				assert.Equal(t, []quota.Units{1, 0, 0}, w.reportUnits(svc, "hr"), "its unit is back")
				again, err := svc.ApplyReport(t.Context(), actor("hr"), ask)
				require.NoError(t, err)
				assert.Equal(t, app, again, "a refusal is final")
				return
			}
			require.Error(t, err)
			assert.Equal(t, []quota.Units{0, 1, 0}, w.reportUnits(svc, "hr"))
			app, err = svc.ApplyReport(t.Context(), actor("hr"), ask)
			require.NoError(t, err)
			assert.Equal(t, evidence.Issued, app.Stage)
		})
	}
}

// TestReport_ChargedOnce: whatever write fails or kills the process, the report
// is issued once and paid once.
func TestReport_T52_ChargedOnceAtEveryWrite(t *testing.T) {
	ask := esign.ReportRequest{ID: "r1", Envelope: "e1"}
	over := func(w *site, s storage.Store) *esign.Service {
		svc, err := esign.New(w.config(s, w.blobs))
		require.NoError(t, err)
		return svc
	}
	w, _ := completed(t, 3)
	store := storagetest.Count(w.store)
	_, err := over(w, store).ApplyReport(t.Context(), actor("hr"), ask)
	require.NoError(t, err)
	require.Greater(t, store.Writes(), 4)
	for n := 1; n <= store.Writes(); n++ {
		for name, fail := range map[string]func(storage.Store, int) *storagetest.Faulty{"before": storagetest.FailBefore,
			"after": storagetest.FailAfter, "killed after": storagetest.CrashAfter} {
			t.Run(fmt.Sprintf("write %d %s", n, name), func(t *testing.T) {
				w, _ := completed(t, 3)
				faulty := fail(w.store, n)
				_, _ = over(w, faulty).ApplyReport(t.Context(), actor("hr"), ask)
				require.True(t, faulty.Fired())
				svc := w.service()
				for range 2 {
					app, err := svc.ApplyReport(t.Context(), actor("hr"), ask)
					require.NoError(t, err)
					assert.Equal(t, evidence.Issued, app.Stage)
				}
				assert.Equal(t, []quota.Units{2, 0, 1}, w.reportUnits(svc, "hr"))
				assert.Equal(t, 1, w.count(svc, "e1", "report.issued"))
				require.NoError(t, svc.WriteReport(t.Context(), actor("hr"), "r1", "", io.Discard))
			})
		}
	}
}

// A postman keeps what it was given.
type postman struct {
	mu   sync.Mutex
	fail int
	got  []esign.Notice
}

func (p *postman) Deliver(_ context.Context, n esign.Notice) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail > 0 {
		p.fail--
		return errors.New("nobody opened")
	}
	p.got = append(p.got, n)
	return nil
}

func (p *postman) receipts() (out []esign.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.got {
		if n.Event == "receipt.issued" {
			out = append(out, n)
		}
	}
	return out
}

// TestReceipt_T13_T15: on completion every party holds a receipt that a rewriting
// of the log would contradict.
func TestReceipt_T15_EveryPartyGetsOne(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	post, desk := &postman{}, &postman{}
	c := w.config(w.store, w.blobs)
	c.Policy.Channels = map[esign.Channel]esign.ChannelPolicy{esign.ChannelApp: {Messenger: post}}
	c.Policy.Owner = desk
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	w.buy(svc, "hr")
	w.send(svc, "e1", w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 2, esign.ChannelApp))
	_, err = w.sign(svc, "e1", "li")
	require.NoError(t, err)
	assert.Empty(t, post.receipts(), "not before the end")
	_, err = w.sign(svc, "e1", "wang")
	require.NoError(t, err)
	desk.fail = 1
	for range 3 {
		_, _ = svc.Deliver(ctx) // the desk's first try fails
		w.pass(2 * 60 * 1e9)
	}
	require.Len(t, post.receipts(), 2, "one for each row")
	require.Len(t, desk.receipts(), 1, "and one for the owner")
	trust, err := evidence.ParseTrust(strings.NewReader("log " + svc.Evidence().VerifierKey() + "\n"))
	require.NoError(t, err)
	var held []evidence.Receipt
	for _, n := range append(post.receipts(), desk.receipts()...) {
		var r evidence.Receipt
		require.NoError(t, json.Unmarshal(n.Receipt, &r))
		assert.Len(t, n.Fingerprint, 16)
		assert.Equal(t, r.Fingerprint(), n.Fingerprint)
		e, err := evidence.ParseEvent([]byte(r.Event))
		require.NoError(t, err)
		assert.Equal(t, "chain.sealed", e.Type)
		r.Anchors = nil
		small, err := json.Marshal(r)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(small), 4096, "4 KiB without tokens")
		held = append(held, r)
	}
	mine, err := svc.Receipt(ctx, actor("li"), "e1")
	require.NoError(t, err, "and on demand")
	for _, r := range held {
		got, err := evidence.Compare(mine, r, &evidence.VerifyOptions{Keys: trust})
		require.NoError(t, err)
		assert.NotEqual(t, evidence.Conflict, got)
	}
	_, err = svc.Receipt(ctx, actor("zhao"), "e1")
	require.ErrorIs(t, err, esign.ErrNotFound)
	assert.Equal(t, 2, w.count(svc, "e1", "receipt.issued"), "once by itself, once on demand")
	var b bytes.Buffer
	require.NoError(t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: "e1"}, &b))
	rep, err := evidence.Verify(bytes.NewReader(b.Bytes()), int64(b.Len()), &evidence.VerifyOptions{Keys: trust, Held: held})
	require.NoError(t, err)
	assert.NotEqual(t, evidence.Failed, rep.Verdict)
}
