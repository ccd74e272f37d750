package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	var events []evidence.Event
	for e, err := range w.log.Events(w.ctx, "acme", "nda-17", 0) {
		require.NoError(t, err)
		events = append(events, e)
	}
	require.Len(t, events, envelopeEvents)
	assert.Equal(t, evidence.Genesis(origin, "acme", "nda-17"), events[0].Prev)
	for i, e := range events {
		assert.EqualValues(t, i+1, e.Seq)
		if i > 0 {
			assert.Equal(t, events[i-1].Hash(), e.Prev)
		}
		again, err := evidence.ParseEvent(e.Bytes())
		require.NoError(t, err)
		assert.Equal(t, e, again)
	}
	t.Run("H34 T25 names the acting account", func(t *testing.T) {
		assert.Equal(t, evidence.Actor{ID: "hr", Role: "owner", Account: "acme-hr"}, events[0].Actor)
	})
	t.Run("T09 P10 facts of the request are kept, personal ones as commitments", func(t *testing.T) {
		assert.Equal(t, map[string]any{"channel": "api", "trusted_proxy": true}, events[0].Req)
		assert.Len(t, events[3].Personal, 3)
		assert.NotContains(t, string(events[3].Bytes()), "203.0.113")
	})
	t.Run("T16 documents appear as SHA-256 and SM3", func(t *testing.T) {
		assert.Equal(t, evidence.DigestsOf(contract), events[4].Docs[0].After)
		assert.Len(t, events[4].Docs[0].After.SM3, 32)
	})
	t.Run("effective instant stands apart", func(t *testing.T) {
		assert.True(t, events[5].Eff.Before(events[5].At))
		assert.True(t, events[0].Eff.IsZero())
	})
	t.Run("reading goes on after a given event", func(t *testing.T) {
		n := 0
		for e, err := range w.log.Events(w.ctx, "acme", "nda-17", 6) {
			require.NoError(t, err)
			assert.Greater(t, e.Seq, uint64(6))
			n++
		}
		assert.Equal(t, 2, n)
		for range w.log.Events(w.ctx, "other", "nda-17", 0) {
			t.Error("T07: another tenant sees nothing")
		}
		_, err := w.log.Export(w.ctx, "other", "nda-17", new(bytes.Buffer), nil)
		assert.ErrorIs(t, err, evidence.ErrNotFound, "T07")
	})
}

// The clock may go back; events never do (envelopes.md 38).
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	d := evidence.Draft{Tenant: "acme", Env: "e", Type: "session.login", Actor: evidence.Actor{ID: "u"}}
	for _, step := range []time.Duration{0, -time.Hour, time.Minute, 2 * time.Hour} {
		w.advance(step)
		_, err := w.log.Append(w.ctx, d)
		require.NoError(t, err)
	}
	var last evidence.Event
	var back []bool
	for e, err := range w.log.Events(w.ctx, "acme", "e", 0) {
		require.NoError(t, err)
		assert.False(t, e.At.Before(last.At))
		back, last = append(back, e.Back), e
	}
	assert.Equal(t, []bool{false, true, true, false}, back)
}

func TestSealedChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("e")
	system := evidence.Actor{ID: "system"}
	for _, typ := range evidence.Types() {
		d := evidence.Draft{Tenant: "acme", Env: "e", Type: typ.Name, Actor: system, X: map[string]any{"alias": "0"},
			Docs: []evidence.DocChange{{ID: "nda", Rev: 2}}, Auth: []evidence.Auth{{Method: "code"}}}
		_, err := w.log.Append(w.ctx, d)
		switch {
		case typ.Name == evidence.TypeSealed:
			assert.ErrorIs(t, err, evidence.ErrType)
		case typ.After:
			assert.NoError(t, err, typ.Name)
		default:
			assert.ErrorIs(t, err, evidence.ErrSealed, typ.Name)
		}
	}
	_, err := w.log.SealChain(w.ctx, evidence.SealDraft{Tenant: "acme", Env: "e", Actor: system})
	require.NoError(t, err, "a later seal covers what came since")
	r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "e"})
	require.NoError(t, err)
	assert.Equal(t, evidence.Passed, r.Verdict, troubles(r))
	assert.Equal(t, r.Claim.Last, r.Claim.Seal)
	_, err = w.log.SealChain(w.ctx, evidence.SealDraft{Tenant: "acme", Env: "none", Actor: system})
	assert.ErrorIs(t, err, evidence.ErrNotFound)
}

func TestDraftsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ok := evidence.Draft{Tenant: "acme", Env: "e", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}}
	_, err := w.log.Append(w.ctx, ok)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		f    func(*evidence.Draft)
		want error
	}{
		"no tenant":        {func(d *evidence.Draft) { d.Tenant = "" }, evidence.ErrDraft},
		"no envelope":      {func(d *evidence.Draft) { d.Env = "" }, evidence.ErrDraft},
		"long envelope":    {func(d *evidence.Draft) { d.Env = strings.Repeat("x", 65) }, evidence.ErrDraft},
		"no actor":         {func(d *evidence.Draft) { d.Actor.ID = "" }, evidence.ErrDraft},
		"unknown type":     {func(d *evidence.Draft) { d.Type = "envelope.eaten" }, evidence.ErrType},
		"missing document": {func(d *evidence.Draft) { d.Type = "recipient.signed" }, evidence.ErrType},
		"missing member":   {func(d *evidence.Draft) { d.Type = evidence.TypeErased }, evidence.ErrType},
		"float":            {func(d *evidence.Draft) { d.X = map[string]any{"a": 1.5} }, evidence.ErrDraft},
		"null":             {func(d *evidence.Draft) { d.X = map[string]any{"a": nil} }, evidence.ErrDraft},
		"key":              {func(d *evidence.Draft) { d.Req = map[string]any{"User-Agent": "x"} }, evidence.ErrDraft},
		"bad UTF-8":        {func(d *evidence.Draft) { d.Req = map[string]any{"a": "\xff"} }, evidence.ErrDraft},
		"too long":         {func(d *evidence.Draft) { d.X = map[string]any{"a": strings.Repeat("x", evidence.MaxEvent)} }, evidence.ErrDraft},
		"short digest": {func(d *evidence.Draft) {
			d.Docs = []evidence.DocChange{{ID: "d", After: evidence.Digest{Size: 1, SHA256: []byte{1}}}}
		}, evidence.ErrDraft},
		"auth without method": {func(d *evidence.Draft) { d.Auth = []evidence.Auth{{Level: "I1"}} }, evidence.ErrDraft},
		"subject elsewhere": {func(d *evidence.Draft) {
			d.Personal = []evidence.Personal{{Subject: privacy.Subject{Tenant: "other", ID: "li"}, Value: mustPhone(t, "13800138000")}}
		}, evidence.ErrDraft},
		"biometrics": {func(d *evidence.Draft) {
			d.Personal = []evidence.Personal{{Subject: privacy.Subject{Tenant: "acme", ID: "li"}, Value: must(privacy.NewBiometric([]byte("face")))}}
		}, privacy.ErrInvalid},
	} {
		d := ok
		c.f(&d)
		_, err := w.log.Append(w.ctx, d)
		assert.ErrorIs(t, err, c.want, name)
	}
	r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "e"})
	require.NoError(t, err)
	assert.EqualValues(t, 1, r.Claim.Last, "a refused draft changes nothing")
	w.vault.Lock("acme")
	err = storage.Update(w.ctx, w.mem, func(tx *storage.Tx) error {
		_, err := w.log.AppendTx(w.ctx, tx, evidence.Draft{Tenant: "acme", Env: "e", Type: "session.login", Actor: evidence.Actor{ID: "u"},
			Personal: []evidence.Personal{{Subject: privacy.Subject{Tenant: "acme", ID: "li"}, Value: mustPhone(t, "13800138000")}}})
		return err
	})
	assert.ErrorIs(t, err, privacy.ErrLocked)
}

// Whatever a caller puts in, what comes out has one form and reads back.
func TestDraftsRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		text := rapid.StringN(0, 20, 64)
		leaf := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.Int64Range(-1<<53+1, 1<<53-1), func(i int64) any { return i }))
		free := rapid.MapOfN(rapid.StringMatching(`[a-z0-9_]{1,32}`), leaf, 0, 5)
		d := evidence.Draft{Tenant: "acme", Env: fmt.Sprintf("r%d", n), Type: "session.login",
			Actor: evidence.Actor{ID: rapid.StringN(1, 10, 40).Draw(rt, "id"), Role: text.Draw(rt, "role")},
			Req:   free.Draw(rt, "req"), X: free.Draw(rt, "x"),
			Eff: time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "eff"), 0)}
		if len(d.Actor.Role) > 64 || len(d.Actor.ID) > 64 {
			return
		}
		_, err := w.log.Append(w.ctx, d)
		require.NoError(rt, err)
		for e, err := range w.log.Events(w.ctx, "acme", d.Env, 0) {
			require.NoError(rt, err)
			assert.Equal(rt, d.Actor, e.Actor)
			if len(d.Req) > 0 {
				assert.Equal(rt, d.Req, e.Req)
			}
		}
	})
}

// Invariant 8: planted values appear in no record, event, leaf, checkpoint,
// bundle that does not disclose them, error or log line.
func TestCanary(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	w, s := anchoredWorld(t)
	slog.New(slog.NewJSONHandler(&logs, nil)).Info("bundle", "log", fmt.Sprintf("%+v %#v", w.log, w.vault))
	w.envelope("nda-17")
	w.anchor()
	shut := w.export("nda-17", &evidence.ExportOptions{})
	half := w.export("nda-17", &evidence.ExportOptions{Disclose: func(d evidence.Disclosure) bool { return d.Subject.ID == "li" && d.Field == "name" }})
	_ = s
	canaries := []string{"李明", "王小丽", "13800138000", "13900139000", "203.0.113.7"}
	var store bytes.Buffer
	for _, tenant := range []string{"acme", "_"} {
		for _, kind := range []string{"evidence.chain", "evidence.mark", "evidence.tree", "evidence.tile", "evidence.leaves", "evidence.anchor", "evidence.newest",
			"privacy.subject", "privacy.seed", "privacy.env", "privacy.value", "privacy.alias", "privacy.access", "privacy.tenant"} {
			recs, err := w.mem.List(w.ctx, tenant, kind, "", 1000)
			require.NoError(t, err)
			for _, r := range recs {
				fmt.Fprintf(&store, "%s %s\n", r.Key.ID, r.Data)
				es, err := w.mem.Entries(w.ctx, r.Key, 0, 1000)
				require.NoError(t, err)
				for _, e := range es {
					store.Write(e.Data)
				}
			}
		}
	}
	require.Greater(t, store.Len(), 10000)
	for _, c := range canaries {
		for name, b := range map[string][]byte{"store": store.Bytes(), "bundle": shut, "log": logs.Bytes()} {
			assert.False(t, bytes.Contains(b, []byte(c)), name)
		}
		assert.Equal(t, c == "李明", bytes.Contains(half, []byte(c)), "only what the requester may read (P02)")
	}
	d := evidence.Draft{Tenant: "acme", Env: "e", Type: "session.login", Actor: evidence.Actor{ID: "u"},
		Personal: []evidence.Personal{{Subject: privacy.Subject{Tenant: "acme", ID: "li"}, Value: mustPhone(t, "13800138000")}}}
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", d, d, d), "13800138000")
	_, err := w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "e", Type: "recipient.signed", Actor: evidence.Actor{ID: "u"}, Personal: d.Personal})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "13800138000")
}

// An unread is not to be read.
type unread struct{ t *testing.T }

func (u unread) ReadAt(p []byte, _ int64) (int, error) {
	u.t.Error("read before its size was looked at")
	return 0, io.ErrUnexpectedEOF
}

func TestDocumentsInExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	doc := func(id string, rev int, b []byte) evidence.Document {
		return evidence.Document{ID: id, Rev: rev, Body: bytes.NewReader(b), Size: int64(len(b))}
	}
	changed := bytes.Clone(contract)
	changed[100] ^= 1
	for name, list := range map[string][]evidence.Document{
		"missing":        {},
		"changed":        {doc("nda", 2, changed)},
		"short":          {doc("nda", 2, contract[:100])},
		"wrong revision": {doc("nda", 1, contract)},
		"one too many":   {doc("nda", 2, contract), doc("other", 0, contract)},
		"twice":          {doc("nda", 2, contract), doc("nda", 2, contract)},
		"size lies":      {{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract)) - 1}},
	} {
		_, err := w.log.Export(w.ctx, "acme", "nda-17", new(bytes.Buffer), &evidence.ExportOptions{Documents: list})
		assert.ErrorIs(t, err, evidence.ErrDocument, name)
	}
	for name, sizes := range map[string][]int64{"one": {1 << 32}, "two": {1 << 31, 1 << 31}, "beyond every number": {math.MaxInt64, math.MaxInt64}} {
		var list []evidence.Document
		for i, n := range sizes {
			list = append(list, evidence.Document{ID: fmt.Sprint("nda", i), Body: unread{t}, Size: n})
		}
		_, err := w.log.Export(w.ctx, "acme", "nda-17", new(bytes.Buffer), &evidence.ExportOptions{Documents: list})
		assert.ErrorIs(t, err, evidence.ErrTooLarge, name)
	}
	t.Run("the caller's own check decides too", func(t *testing.T) {
		b := w.export("nda-17", nil)
		for verdict, want := range map[evidence.Verdict]evidence.Verdict{evidence.Passed: evidence.Indeterminate,
			evidence.Failed: evidence.Failed, evidence.Indeterminate: evidence.Indeterminate} {
			r := verify(t, b, &evidence.VerifyOptions{Keys: w.trust(), Document: func(path string, r io.ReaderAt, size int64) (evidence.Verdict, error) {
				assert.Equal(t, "docs/nda-2.pdf", path)
				got, err := io.ReadAll(io.NewSectionReader(r, 0, size))
				assert.NoError(t, err)
				assert.Equal(t, contract, got)
				return verdict, errors.New("detail")
			}})
			assert.Equal(t, want, r.Verdict)
			assert.True(t, r.Has(evidence.CodeDocumentCheck, verdict))
		}
	})
}

func TestTrustFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	s := newTSA(t, w.clock)
	good := "# roots\n\nlog " + w.log.VerifierKey() + "\nlog " + w.log.VerifierKey() + " 77\nwitness " + evidence.WitnessKey("w.example.com", newTestKey(1).Public().(ed25519.PublicKey)) + "\n" + s.trustLines() + "ca\n" + strings.TrimPrefix(s.trustLines(), "tsa\n") + "\n"
	trust, err := evidence.ParseTrust(strings.NewReader(strings.ReplaceAll(good, "\n", "\r\n")))
	require.NoError(t, err)
	assert.Len(t, trust.TSA, 1)
	assert.Len(t, trust.CA, 1)
	for name, bad := range map[string]string{
		"unknown word":       "logs x\n",
		"no key":             "log\n",
		"bad key":            "log example.com+00000000+AAAA\n",
		"log key as witness": "witness " + w.log.VerifierKey() + "\n",
		"bad size":           "log " + w.log.VerifierKey() + " many\n",
		"zero size":          "log " + w.log.VerifierKey() + " 0\n",
		"stray PEM":          strings.TrimPrefix(s.trustLines(), "tsa\n"),
		"PEM after log":      "tsa\nlog " + w.log.VerifierKey() + "\n" + strings.TrimPrefix(s.trustLines(), "tsa\n"),
		"open PEM":           "tsa\n-----BEGIN CERTIFICATE-----\nAAAA\n",
		"not a cert":         "ca\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"private key":        "ca\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"too long":           strings.Repeat("# x\n", 1<<19),
		"line of a MiB":      strings.Repeat("x", 1<<20),
		"words behind tsa":   "tsa example.com\n",
	} {
		_, err := evidence.ParseTrust(strings.NewReader(bad))
		assert.ErrorIs(t, err, evidence.ErrTrust, name)
	}
}
