package esign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

// A site is everything outside the service: what survives when it is killed.
type site struct {
	t     testing.TB
	store storage.Store
	blobs storage.Blobs
	root  privacy.KeyWrapper
	log   ed25519.PrivateKey
	ca    *devca.CA
	inbox *smstest.Gateway
	keys  *keys
	noTSA bool

	mu  sync.Mutex
	now time.Time
}

// keys gives each account one key of the development authority.
type keys struct {
	ca   *devca.CA
	mu   sync.Mutex
	held map[string]keyPair
}

type keyPair struct {
	key   crypto.Signer
	chain []*x509.Certificate
}

func (k *keys) Key(ctx context.Context, r esign.KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.held[r.Subject.ID]
	if !ok {
		var err error
		if s.key, s.chain, err = k.ca.NewSigner(ctx, r.Subject.ID); err != nil {
			return nil, nil, err
		}
		k.held[r.Subject.ID] = s
	}
	return s.key, s.chain, nil
}

func newSite(t testing.TB) *site {
	w := &site{t: t, store: new(storage.Mem), blobs: new(storage.MemBlobs), root: privacy.InsecureMemoryKey(),
		inbox: new(smstest.Gateway), now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	var err error
	_, w.log, err = ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	w.ca, err = devca.NewInsecure(&devca.Options{Now: w.clock})
	require.NoError(t, err)
	w.keys = &keys{ca: w.ca, held: map[string]keyPair{}}
	return w
}

func (w *site) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *site) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// config is the deployment's configuration over a store and blobs, which may be
// faulty ones around the site's own.
func (w *site) config(s storage.Store, b storage.Blobs) esign.Config {
	c := esign.Config{Store: s, Blobs: b, Keys: w.keys, SMS: smstest.InsecureConfig(nil, nil, w.inbox),
		Privacy: privacy.Config{Root: w.root}, Evidence: evidence.Config{LogSigner: w.log, Origin: "example.test/log"},
		Membership: membership.Config{Catalogue: catalogue()}, Now: w.clock,
		Policy: esign.Policy{Channels: map[esign.Channel]esign.ChannelPolicy{esign.ChannelWeChat: {Refundable: true}, esign.ChannelApp: {}}}}
	if !w.noTSA {
		c.TSA = w.ca
	}
	return c
}

func (w *site) service() *esign.Service {
	svc, err := esign.New(w.config(w.store, w.blobs))
	require.NoError(w.t, err)
	return svc
}

// catalogue sells a package of ten units and two plans.
func catalogue() *membership.Catalogue {
	cny := func(fen int64) membership.Money { return membership.Money{Amount: fen, Currency: "CNY"} }
	return &membership.Catalogue{
		Items: []membership.Item{
			{ID: "sign-10", Version: 1, Kind: membership.Package, Title: "10 signing units", Term: quota.Term{Years: 1},
				Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 10}}},
			{ID: "personal", Version: 1, Kind: membership.Plan, Type: membership.Personal, Title: "Personal plan", Term: quota.Term{Years: 1},
				Grants: []membership.Feature{membership.FeatureOrdinary}},
			{ID: "team", Version: 1, Kind: membership.Plan, Type: membership.Team, Title: "Team plan", Term: quota.Term{Years: 1},
				Grants: []membership.Feature{membership.FeatureOrdinary, membership.FeatureApproval}},
		},
		Prices: []membership.Price{
			{Item: membership.ItemRef{ID: "sign-10"}, Money: cny(9900), TaxBps: 600, Inclusive: true},
			{Item: membership.ItemRef{ID: "personal"}, Money: cny(19900), TaxBps: 600, Inclusive: true},
			{Item: membership.ItemRef{ID: "team"}, Money: cny(99900), TaxBps: 600, Inclusive: true},
		},
	}
}

const tenant = "acme"

func actor(name string) esign.Actor {
	ip, err := privacy.NewIP("192.0.2.7")
	if err != nil {
		panic(err)
	}
	return esign.Actor{Tenant: tenant, Account: name, Proof: esign.Proof{Session: "session-of-" + name},
		Request: esign.Request{Client: "web", IP: ip}}
}

// buy publishes the agreement and buys a package for an account, once.
func (w *site) buy(svc *esign.Service, who string) {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := svc.Terms().Publish(ctx, privacy.Document{Tenant: tenant, ID: "membership", Version: "2026-01",
		Digest: fmt.Sprintf("%064x", 1), Weakest: privacy.ActTick, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(w.t, err)
	req := membership.PurchaseRequest{Tenant: tenant, ID: "order-" + who, Payer: quota.AccountID(who), Item: "sign-10"}
	shown, err := svc.Membership().Quote(ctx, req)
	require.NoError(w.t, err)
	req.Terms, req.Shown, req.Ticked = shown.Terms, shown.Price, true
	o, _, err := svc.Membership().Purchase(ctx, req)
	require.NoError(w.t, err)
	_, err = svc.Membership().MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: o.ID, Payment: "pay-" + who, Amount: o.Price})
	require.NoError(w.t, err)
}

// contact invents a person.
func contact(t testing.TB, name, phone string) esign.Contact {
	n, err := privacy.NewName(name)
	require.NoError(t, err)
	p, err := privacy.NewPhone(phone)
	require.NoError(t, err)
	return esign.Contact{Name: n, Phone: p}
}

var phones = map[string]string{"li": "13800138001", "wang": "13800138002", "zhao": "13800138003"}

func (w *site) invitee(who string, order int, ch esign.Channel) esign.Invitee {
	names := map[string]string{"li": "李小明", "wang": "王天津", "zhao": "赵六"}
	return esign.Invitee{ID: who, Party: esign.Party{Account: who}, Order: order, Contact: contact(w.t, names[who], phones[who]),
		Channel: ch, Consent: esign.ConsentStaff}
}

// contract is a small PDF made here, with a classic cross-reference table.
func contract() []byte {
	var b bytes.Buffer
	var at []int
	obj := func(s string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), s)
	}
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	obj("<< /Type /Catalog /Pages 2 0 R >>")
	obj("<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
	obj("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>")
	text := "BT /F1 14 Tf 72 760 Td (Service agreement) Tj ET"
	obj(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(text), text))
	obj("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, off := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", off)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return b.Bytes()
}

// draft uploads the contract and returns a draft for these invitees.
func (w *site) draft(svc *esign.Service, id string, who ...esign.Invitee) esign.Draft {
	w.t.Helper()
	docs, err := svc.Upload(w.t.Context(), actor("hr"), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(contract())}}})
	require.NoError(w.t, err)
	return esign.Draft{ID: id, Title: "Service agreement", Documents: docs, Recipients: who}
}

// send creates and sends an envelope.
func (w *site) send(svc *esign.Service, id string, who ...esign.Invitee) esign.Envelope {
	w.t.Helper()
	_, err := svc.Create(w.t.Context(), actor("hr"), w.draft(svc, id, who...))
	require.NoError(w.t, err)
	env, err := svc.Send(w.t.Context(), actor("hr"), esign.Send{ID: "send-" + id, Envelope: id})
	require.NoError(w.t, err)
	_, err = svc.Deliver(w.t.Context())
	require.NoError(w.t, err)
	return env
}

// intent goes through the ceremony up to a checked code.
func (w *site) intent(svc *esign.Service, id, who string) (esign.Intent, error) {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := svc.Open(ctx, actor(who), esign.View{ID: "open-" + id + "-" + who, Envelope: id}); err != nil {
		return esign.Intent{}, err
	}
	ask, err := svc.Challenge(ctx, actor(who), esign.Challenge{ID: "ask-" + id + "-" + who, Envelopes: []string{id}})
	if err != nil {
		return esign.Intent{}, err
	}
	if _, err := svc.Deliver(ctx); err != nil {
		return esign.Intent{}, err
	}
	text, ok := w.inbox.Last(phones[who])
	require.True(w.t, ok, "no text for %s", who)
	return svc.CheckCode(ctx, actor(who), esign.Code{Challenge: ask.ID, Code: string(text.Code())})
}

// sign goes through the whole ceremony of one signer.
func (w *site) sign(svc *esign.Service, id, who string) (esign.Signed, error) {
	w.t.Helper()
	proof, err := w.intent(svc, id, who)
	if err != nil {
		return esign.Signed{}, err
	}
	return svc.Sign(w.t.Context(), actor(who), esign.Sign{ID: "sign-" + id + "-" + who, Envelope: id, Intent: proof})
}

// balance is what an account has of signing units.
func (w *site) lots(svc *esign.Service, who string) quota.Lot {
	w.t.Helper()
	lots, err := svc.Quota().Lots(w.t.Context(), quota.BalanceRequest{Tenant: tenant, Account: quota.AccountID(who)})
	require.NoError(w.t, err)
	require.Len(w.t, lots, 1)
	l := lots[0]
	require.Equal(w.t, l.Granted, l.Available()+l.Held+l.Used+l.Expired+l.Clawed)
	return l
}
