package esign_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// An interrupted is one call during which the store, or the blobs, fail at
// every write there is, before and after it persisted, or for good.
type interrupted struct {
	name string
	// before brings the site to where the call is made, and returns the call.
	before func(w *site, svc *esign.Service) func(*esign.Service) error
	// after is what must be true once the call was repeated.
	after func(t *testing.T, w *site, svc *esign.Service)
}

// TestCrash_AtEveryWrite: whatever write of creating, sending, signing or
// revoking fails or kills the process, the call repeated under its id on what
// is left gives the answer of an undisturbed run: nothing is lost, charged or
// signed twice, or half done, and units are conserved.
func TestCrash_AtEveryWrite(t *testing.T) {
	two := func(w *site) []esign.Invitee {
		return []esign.Invitee{w.invitee("li", 1, esign.ChannelSMS), w.invitee("wang", 1, esign.ChannelWeChat)}
	}
	for _, c := range []interrupted{
		{name: "create", before: func(w *site, svc *esign.Service) func(*esign.Service) error {
			d := w.draft(svc, "e1", two(w)...)
			return func(svc *esign.Service) error { _, err := svc.Create(w.t.Context(), actor("hr"), d); return err }
		}, after: func(t *testing.T, w *site, svc *esign.Service) {
			assert.Equal(t, 1, w.count(svc, "e1", "envelope.created"))
		}},
		{name: "send", before: func(w *site, svc *esign.Service) func(*esign.Service) error {
			_, err := svc.Create(w.t.Context(), actor("hr"), w.draft(svc, "e1", two(w)...))
			require.NoError(w.t, err)
			return func(svc *esign.Service) error {
				_, err := svc.Send(w.t.Context(), actor("hr"), esign.Send{ID: "send-e1", Envelope: "e1"})
				return err
			}
		}, after: func(t *testing.T, w *site, svc *esign.Service) {
			assert.Equal(t, quota.Units(2), w.lots(svc, "hr").Held)
			assert.Equal(t, 1, w.count(svc, "e1", "envelope.sent"))
			assert.Equal(t, 1, w.count(svc, "e1", "units.held"))
			_, err := svc.Deliver(t.Context())
			require.NoError(t, err)
			assert.Len(t, w.inbox.Texts(), 1, "one invitation")
		}},
		{name: "sign", before: func(w *site, svc *esign.Service) func(*esign.Service) error {
			w.send(svc, "e1", two(w)...)
			proof, err := w.intent(svc, "e1", "li")
			require.NoError(w.t, err)
			return func(svc *esign.Service) error {
				_, err := svc.Sign(w.t.Context(), actor("li"), esign.Sign{ID: "sign-li", Envelope: "e1", Intent: proof})
				return err
			}
		}, after: func(t *testing.T, w *site, svc *esign.Service) {
			lot := w.lots(svc, "hr")
			assert.Equal(t, []quota.Units{1, 1}, []quota.Units{lot.Held, lot.Used})
			assert.Equal(t, 1, w.count(svc, "e1", "recipient.signed"))
			assert.Equal(t, 1, w.count(svc, "e1", "units.captured"))
		}},
		{name: "last signature", before: func(w *site, svc *esign.Service) func(*esign.Service) error {
			w.send(svc, "e1", two(w)...)
			_, err := w.sign(svc, "e1", "li")
			require.NoError(w.t, err)
			proof, err := w.intent(svc, "e1", "wang")
			require.NoError(w.t, err)
			return func(svc *esign.Service) error {
				_, err := svc.Sign(w.t.Context(), actor("wang"), esign.Sign{ID: "sign-wang", Envelope: "e1", Intent: proof})
				return err
			}
		}, after: func(t *testing.T, w *site, svc *esign.Service) {
			lot := w.lots(svc, "hr")
			assert.Equal(t, []quota.Units{0, 2}, []quota.Units{lot.Held, lot.Used})
			assert.Equal(t, 1, w.count(svc, "e1", "chain.sealed"))
			assert.Equal(t, 1, w.count(svc, "e1", "envelope.completed"))
			w.verified(svc, "e1", 2)
		}},
		{name: "revoke", before: func(w *site, svc *esign.Service) func(*esign.Service) error {
			w.send(svc, "e1", two(w)...)
			return func(svc *esign.Service) error {
				_, err := svc.Revoke(w.t.Context(), actor("hr"), esign.End{ID: "revoke-e1", Envelope: "e1", Reason: "a wrong price"})
				return err
			}
		}, after: func(t *testing.T, w *site, svc *esign.Service) {
			// H17, H18: WeChat's unit comes back, that of SMS does not.
			lot := w.lots(svc, "hr")
			assert.Equal(t, []quota.Units{0, 1, 9}, []quota.Units{lot.Held, lot.Used, lot.Available()})
			assert.Equal(t, 1, w.count(svc, "e1", "envelope.revoked"))
			assert.Equal(t, 1, w.count(svc, "e1", "chain.sealed"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.everywhere(t)
		})
	}
}

func (c interrupted) everywhere(t *testing.T) {
	// An undisturbed run says how many writes there are.
	w, call := c.stage(t)
	store, blobs := storagetest.Count(w.store), storagetest.CountBlobs(w.blobs)
	svc, err := esign.New(w.config(store, blobs))
	require.NoError(t, err)
	require.NoError(t, call(svc))
	require.NotZero(t, store.Writes())
	c.settle(t, w, call)
	kinds := []struct {
		name string
		fail func(storage.Store, int) *storagetest.Faulty
	}{{"before", storagetest.FailBefore}, {"after", storagetest.FailAfter},
		{"killed before", storagetest.CrashBefore}, {"killed after", storagetest.CrashAfter}}
	for n := 1; n <= store.Writes(); n++ {
		for _, k := range kinds {
			t.Run(fmt.Sprintf("write %d %s", n, k.name), func(t *testing.T) {
				w, call := c.stage(t)
				faulty := k.fail(w.store, n)
				svc, err := esign.New(w.config(faulty, w.blobs))
				require.NoError(t, err)
				_ = call(svc) // whatever it says: the host asks again
				require.True(t, faulty.Fired())
				c.settle(t, w, call)
			})
		}
	}
	for n := 1; n <= blobs.Writes(); n++ {
		for _, k := range []struct {
			name string
			fail func(storage.Blobs, int) *storagetest.FaultyBlobs
		}{{"before", storagetest.FailBlobsBefore}, {"after", storagetest.FailBlobsAfter}} {
			t.Run(fmt.Sprintf("blob %d %s", n, k.name), func(t *testing.T) {
				w, call := c.stage(t)
				svc, err := esign.New(w.config(w.store, k.fail(w.blobs, n)))
				require.NoError(t, err)
				_ = call(svc)
				c.settle(t, w, call)
			})
		}
	}
}

// stage is a fresh site at the point of the call.
func (c interrupted) stage(t *testing.T) (*site, func(*esign.Service) error) {
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	return w, c.before(w, svc)
}

// settle starts over on what is left, repeats the call, twice, and looks.
func (c interrupted) settle(t *testing.T, w *site, call func(*esign.Service) error) {
	t.Helper()
	svc := w.service()
	require.NoError(t, call(svc))
	require.NoError(t, call(svc), "the same again")
	c.after(t, w, svc)
	for _, err := range svc.Evidence().Events(t.Context(), tenant, "e1", 0) {
		require.NoError(t, err)
	}
}

// count is how many events of a type an envelope's chain has.
func (w *site) count(svc *esign.Service, id, typ string) int {
	w.t.Helper()
	n := 0
	for m, err := range svc.Timeline(w.t.Context(), actor("hr"), id, 0) {
		require.NoError(w.t, err)
		if m.Type == typ {
			n++
		}
	}
	return n
}

// verified exports document and bundle and lets the verifiers judge both.
func (w *site) verified(svc *esign.Service, id string, signatures int) (pdf, bundle []byte) {
	w.t.Helper()
	ctx := w.t.Context()
	var p, b bytes.Buffer
	require.NoError(w.t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: id, Document: "contract"}, &p))
	require.NoError(w.t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: id}, &b))
	rep := w.judge(ctx, p.Bytes())
	require.Equal(w.t, pades.Passed, rep.Verdict, "%+v", rep)
	require.Len(w.t, rep.Signatures, signatures)
	ev := w.judgeBundle(svc, b.Bytes())
	require.Equal(w.t, evidence.Passed, ev.Verdict, "%+v", ev.Checks)
	return p.Bytes(), b.Bytes()
}

func (w *site) judge(ctx context.Context, pdf []byte) *pades.Report {
	w.t.Helper()
	rep, err := pades.Verify(ctx, bytes.NewReader(pdf), int64(len(pdf)), &pades.VerifyOptions{Roots: w.ca.Roots(), At: w.clock()})
	require.NoError(w.t, err)
	return rep
}

func (w *site) judgeBundle(svc *esign.Service, bundle []byte) *evidence.Report {
	w.t.Helper()
	keys, err := evidence.ParseTrust(strings.NewReader("log " + svc.Evidence().VerifierKey() + "\ntsa\n" + string(w.ca.RootsPEM()) + "ca\n" + string(w.ca.RootsPEM())))
	require.NoError(w.t, err)
	rep, err := evidence.Verify(bytes.NewReader(bundle), int64(len(bundle)), &evidence.VerifyOptions{Keys: keys})
	require.NoError(w.t, err)
	return rep
}
