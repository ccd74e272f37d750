package integration_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

const tenant = "acme"

// noKeys is a source for services that sign nothing.
type noKeys struct{}

func (noKeys) Key(context.Context, esign.KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	return nil, nil, errors.New("no key")
}

// service is a whole deployment on one database, blobs included.
func service(t *testing.T, s *sqlstore.Store) *esign.Service {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	svc, err := esign.New(esign.Config{
		Store: s, Blobs: s.Blobs(), Keys: noKeys{},
		SMS:      smstest.InsecureConfig(nil, nil, new(smstest.Gateway)),
		Privacy:  privacy.Config{Root: privacy.InsecureMemoryKey()},
		Evidence: evidence.Config{LogSigner: key, Origin: "example.test/log"},
		Membership: membership.Config{Catalogue: &membership.Catalogue{
			Items: []membership.Item{{ID: "sign-10", Version: 1, Kind: membership.Package, Title: "10 signing units", Term: quota.Term{Years: 1},
				Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 10}}}},
			Prices: []membership.Price{{Item: membership.ItemRef{ID: "sign-10"}, Money: membership.Money{Amount: 9900, Currency: "CNY"}, TaxBps: 600, Inclusive: true}},
		}},
		Policy: esign.Policy{Channels: map[esign.Channel]esign.ChannelPolicy{esign.ChannelWeChat: {Refundable: true}}},
	})
	require.NoError(t, err)
	return svc
}

func hr(t *testing.T) esign.Actor {
	ip, err := privacy.NewIP("192.0.2.7")
	require.NoError(t, err)
	return esign.Actor{Tenant: tenant, Account: "hr", Proof: esign.Proof{Session: "session"}, Request: esign.Request{Client: "web", IP: ip}}
}

// buy gives hr ten units.
func buy(t *testing.T, svc *esign.Service) {
	t.Helper()
	ctx := t.Context()
	_, err := svc.Terms().Publish(ctx, privacy.Document{Tenant: tenant, ID: "membership", Version: "2026-01",
		Digest: fmt.Sprintf("%064x", 1), Weakest: privacy.ActTick, At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(t, err)
	req := membership.PurchaseRequest{Tenant: tenant, ID: "order", Payer: "hr", Item: "sign-10"}
	shown, err := svc.Membership().Quote(ctx, req)
	require.NoError(t, err)
	req.Terms, req.Shown, req.Ticked = shown.Terms, shown.Price, true
	o, _, err := svc.Membership().Purchase(ctx, req)
	require.NoError(t, err)
	_, err = svc.Membership().MarkPaid(ctx, membership.PaidRequest{Tenant: tenant, Order: o.ID, Payment: "pay", Amount: o.Price})
	require.NoError(t, err)
}

// draft creates an envelope for two recipients.
func draft(t *testing.T, svc *esign.Service, id string) {
	t.Helper()
	pdf, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "quickstart", "contract.pdf"))
	require.NoError(t, err)
	docs, err := svc.Upload(t.Context(), hr(t), esign.Upload{Files: []esign.File{{ID: "contract", Body: bytes.NewReader(pdf)}}})
	require.NoError(t, err)
	d := esign.Draft{ID: id, Title: "Service agreement", Documents: docs}
	for who, phone := range map[string]string{"li": "13800138001", "wang": "13800138002"} {
		name, err := privacy.NewName("李小明")
		require.NoError(t, err)
		number, err := privacy.NewPhone(phone)
		require.NoError(t, err)
		d.Recipients = append(d.Recipients, esign.Invitee{ID: who, Party: esign.Party{Account: who}, Contact: esign.Contact{Name: name, Phone: number},
			Channel: "sms", Consent: esign.ConsentStaff})
	}
	_, err = svc.Create(t.Context(), hr(t), d)
	require.NoError(t, err)
}

// dump is every record and entry of a tenant, by key.
func dump(t *testing.T, d database, s *sqlstore.Store, q sqlstore.Querier, prefix string) map[string]string {
	t.Helper()
	quote := `"`
	if d.dialect == sqlstore.MySQL {
		quote = "`"
	}
	all := make(map[string]string)
	for table, query := range map[string]string{
		"record": "SELECT tenant, kind, id, version, data FROM ",
		"entry":  "SELECT tenant, kind, id, seq, data FROM ",
	} {
		rows, err := q.QueryContext(t.Context(), query+quote+prefix+table+quote)
		require.NoError(t, err)
		for rows.Next() {
			var tenant, kind, id string
			var n int64
			var data []byte
			require.NoError(t, rows.Scan(&tenant, &kind, &id, &n, &data))
			name := fmt.Sprintf("%s %s/%s/%s", table, tenant, kind, id)
			if table == "entry" {
				name += fmt.Sprint("#", n)
			}
			all[name] = fmt.Sprintf("%d %s", n, data)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return all
}

// A host transaction that sends an envelope and rolls back leaves nothing; one
// that commits leaves everything, the host's own row included.
func TestHostSends(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		s, o := d.openOn(t, db, nil)
		svc := service(t, s)
		buy(t, svc)
		draft(t, svc, "nda")
		orders := o.Prefix + "orders"
		_, err := db.ExecContext(t.Context(), "CREATE TABLE "+orders+" (id INTEGER PRIMARY KEY)")
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = db.Exec("DROP TABLE " + orders) })
		held := func() quota.Units {
			lots, err := svc.Quota().Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "hr"})
			require.NoError(t, err)
			require.Len(t, lots, 1)
			return lots[0].Held
		}
		rows := func() (n int) {
			require.NoError(t, db.QueryRow("SELECT count(*) FROM "+orders).Scan(&n))
			return n
		}
		send := func(end func() error) {
			tx := begin(t, db, nil)
			_, err := tx.ExecContext(t.Context(), "INSERT INTO "+orders+" VALUES (1)")
			require.NoError(t, err)
			require.NoError(t, storage.Update(t.Context(), s.Bind(tx), func(tx *storage.Tx) error {
				env, err := svc.SendTx(t.Context(), tx, hr(t), esign.Send{ID: "send-nda", Envelope: "nda"})
				if err == nil && env.ID != "nda" {
					err = fmt.Errorf("sent %q", env.ID)
				}
				return err
			}))
			if end == nil {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, errors.Join(tx.Rollback(), end()))
			}
		}
		before := dump(t, d, s, db, o.Prefix)
		send(func() error { return nil })
		assert.Equal(t, before, dump(t, d, s, db, o.Prefix), "after the host rolled back")
		assert.Zero(t, rows())
		assert.Zero(t, held())

		send(nil)
		after := dump(t, d, s, db, o.Prefix)
		assert.Equal(t, 1, rows())
		assert.Equal(t, quota.Units(2), held())
		kinds := make(map[string]int)
		for name := range after {
			if before[name] != after[name] {
				var kind string
				if i := bytes.IndexByte([]byte(name), '/'); i > 0 {
					kind = name[i+1:]
					kind = kind[:bytes.IndexByte([]byte(kind), '/')]
				}
				kinds[kind]++
			}
		}
		t.Logf("records and entries by kind that the commit wrote: %v", kinds)
		assert.NotZero(t, kinds["quota.hold"])
		assert.NotZero(t, kinds["quota.acct"])

		// The service goes on from there, in groups of its own: a repeat answers
		// the same and holds nothing again, and the texts go out.
		_, err = svc.Send(t.Context(), hr(t), esign.Send{ID: "send-nda", Envelope: "nda"})
		require.NoError(t, err)
		assert.Equal(t, quota.Units(2), held())
		n, err := svc.Deliver(t.Context())
		require.NoError(t, err)
		assert.NotZero(t, n)
	})
}

// A host transaction that holds one account open for two seconds delays nobody
// else's commits, in groups and past them, with a small pool.
func TestHostHoldsAnAccount(t *testing.T) {
	const hold = 2 * time.Second
	each(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("SQLite has one writer: a host's open transaction holds the database")
		}
		db := d.connect(t, d.driver, d.dsn(t))
		db.SetMaxOpenConns(6)
		s, _ := d.openOn(t, db, nil)
		g := storage.Group(s, nil)
		ledgers := map[string]*quota.Ledger{}
		for name, store := range map[string]storage.Store{"grouped": g, "single": s} {
			var err error
			ledgers[name], err = quota.New(quota.Config{Store: store})
			require.NoError(t, err)
		}
		for _, account := range []quota.AccountID{"held", "a", "b", "c", "d"} {
			_, err := ledgers["single"].Grant(t.Context(), quota.GrantRequest{Tenant: tenant, ID: quota.LotID("lot-" + account), Account: account,
				Unit: quota.UnitSign, Units: 1e6, Term: quota.Term{Years: 1}})
			require.NoError(t, err)
		}
		reserve := func(ctx context.Context, name string, account quota.AccountID, id string) error {
			ctx, cancel := context.WithTimeout(ctx, 5*hold)
			defer cancel()
			_, err := ledgers[name].Reserve(ctx, quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(id), Account: account,
				Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
			return err
		}
		tx := begin(t, db, nil)
		hosts, err := quota.New(quota.Config{Store: s.Bind(tx)})
		require.NoError(t, err)
		_, err = hosts.Reserve(t.Context(), quota.ReserveRequest{Tenant: tenant, ID: "host", Account: "held",
			Lines: []quota.LineRequest{{Slot: "1", Kind: quota.KindOrdinary, Channel: quota.WeChat}}})
		require.NoError(t, err)
		start := time.Now()
		waiting := make(chan error, 20)
		for i := range cap(waiting) {
			name := []string{"grouped", "single"}[i%2]
			go func() { waiting <- reserve(t.Context(), name, "held", fmt.Sprint("waits-", i)) }()
		}
		type result struct {
			calls int
			worst time.Duration
			err   error
		}
		results := make(chan result)
		for _, account := range []quota.AccountID{"a", "b", "c", "d"} {
			name := map[bool]string{true: "grouped", false: "single"}[account < "c"]
			go func() {
				var r result
				for ; time.Since(start) < hold && r.err == nil; r.calls++ {
					at := time.Now()
					r.err = reserve(t.Context(), name, account, fmt.Sprintf("%s-%d", account, r.calls))
					r.worst = max(r.worst, time.Since(at))
				}
				results <- r
			}()
		}
		for range 4 {
			r := <-results
			require.NoError(t, r.err)
			t.Logf("%d commits of others, the slowest in %v", r.calls, r.worst)
			assert.Less(t, r.worst, hold/2, "a commit of another account waited for the host")
			assert.Greater(t, r.calls, 5)
		}
		assert.Empty(t, waiting, "the held account moved under the host")
		require.NoError(t, tx.Commit())
		for range cap(waiting) {
			require.NoError(t, <-waiting)
		}
		lots, err := ledgers["single"].Lots(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "held"})
		require.NoError(t, err)
		assert.Equal(t, quota.Units(cap(waiting)+1), lots[0].Held)
		require.NoError(t, g.Close())
	})
}
