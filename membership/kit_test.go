package membership_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

const tenant = "acme"

var noon = time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func cny(fen int64) membership.Money { return membership.Money{Amount: fen, Currency: "CNY"} }

// catalogue sells a personal and a team plan and packages of units.
func catalogue() *membership.Catalogue {
	price := func(item string, fen int64) membership.Price {
		return membership.Price{Item: membership.ItemRef{ID: item}, Money: cny(fen), TaxBps: 600, Inclusive: true}
	}
	ordinary := []membership.Feature{membership.FeatureOrdinary}
	return &membership.Catalogue{
		Items: []membership.Item{
			{ID: "personal", Version: 1, Kind: membership.Plan, Type: membership.Personal, Title: "Personal", Term: quota.Term{Years: 1}, Grants: ordinary},
			{ID: "monthly", Version: 1, Kind: membership.Plan, Type: membership.Personal, Title: "Personal, a month", Term: quota.Term{Months: 1}, Grants: ordinary},
			{ID: "team", Version: 1, Kind: membership.Plan, Type: membership.Team, Title: "Team", Term: quota.Term{Years: 1}, Seats: ptr(2),
				Grants: []membership.Feature{membership.FeatureOrdinary, membership.FeatureApproval},
				Lots:   []membership.LotSpec{{Unit: quota.UnitSign, Units: 5}}},
			{ID: "pack10", Version: 1, Kind: membership.Package, Title: "Ten units", Term: quota.Term{Years: 1}, Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 10}}},
			{ID: "checks", Version: 1, Kind: membership.Package, Title: "Checks", Term: quota.Term{Years: 3}, Refund: membership.Never, Lots: []membership.LotSpec{
				{Unit: quota.UnitPersonCheck, Units: 3}, {Unit: quota.UnitSign, Units: 4, Scope: []quota.ChargeKind{quota.KindRealNamePerson}},
			}},
		},
		Prices: []membership.Price{
			price("personal", 19900), price("monthly", 2500), price("team", 99900), price("pack10", 5000), price("checks", 3000),
			{Item: membership.ItemRef{ID: "personal"}, Channel: "ios", Money: cny(22800), TaxBps: 600, Inclusive: true},
			{Item: membership.ItemRef{ID: "personal"}, Account: "vip", Money: cny(0), TaxBps: 600, Inclusive: true},
		},
	}
}

type kit struct {
	*membership.Service
	t      testing.TB
	store  storage.Store
	ledger *quota.Ledger
	terms  *privacy.Terms
	at     time.Time
	shown  membership.TermsRef
}

// newKit opens a service with the agreement published.
func newKit(t testing.TB, change func(*membership.Config)) *kit {
	t.Helper()
	k := &kit{t: t, store: new(storage.Mem), at: noon}
	now := func() time.Time { return k.at }
	var err error
	k.ledger, err = quota.New(quota.Config{Store: k.store, Now: now})
	require.NoError(t, err)
	k.terms = &privacy.Terms{Store: k.store, Now: now}
	k.publish("v1", "")
	cfg := membership.Config{Store: k.store, Now: now, Catalogue: catalogue(), Ledger: k.ledger, Terms: k.terms, Fees: map[string]membership.Fee{"wxpay": {Bps: 60}}}
	if change != nil {
		change(&cfg)
	}
	k.Service, err = membership.New(cfg)
	require.NoError(t, err)
	return k
}

func (k *kit) publish(version string, weakest privacy.Act) []membership.TermsRef {
	k.t.Helper()
	digest := strings.Repeat("0", 64-len(version)*2) + strings.Repeat("ab", len(version))
	d, err := k.terms.Publish(k.t.Context(), privacy.Document{Tenant: tenant, ID: "membership", Version: version, Digest: digest, Weakest: weakest})
	require.NoError(k.t, err)
	return []membership.TermsRef{{Document: d.ID, Version: d.Version, Digest: d.Digest}}
}

// accept lets an account tick the agreement.
func (k *kit) accept(accounts ...quota.AccountID) {
	k.t.Helper()
	for _, a := range accounts {
		_, err := k.terms.Accept(k.t.Context(), privacy.Acceptance{Tenant: tenant, Account: string(a), Document: "membership", Act: privacy.ActTick})
		require.NoError(k.t, err)
	}
}

// buy has an account buy an item and pay.
func (k *kit) buy(order string, account quota.AccountID, item string) membership.Order {
	k.t.Helper()
	k.accept(account)
	o, _, err := k.Purchase(k.t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: order, Payer: account, Item: item, Method: "wxpay"})
	require.NoError(k.t, err)
	o, err = k.MarkPaid(k.t.Context(), membership.PaidRequest{Tenant: tenant, Order: order, Payment: "pay-" + order, Amount: o.Price})
	require.NoError(k.t, err)
	return o
}

// decide runs CheckTx in a commit of its own.
func (k *kit) decide(account quota.AccountID, feature membership.Feature) (membership.Decision, error) {
	k.t.Helper()
	return k.judge(membership.CheckRequest{Tenant: tenant, Account: account, Feature: feature})
}

func (k *kit) judge(req membership.CheckRequest) (membership.Decision, error) {
	k.t.Helper()
	var d membership.Decision
	err := storage.Update(k.t.Context(), k.store, func(tx *storage.Tx) error {
		var err error
		d, err = k.CheckTx(k.t.Context(), tx, req)
		return err
	})
	return d, err
}

func (k *kit) member(account quota.AccountID) membership.Member {
	k.t.Helper()
	m, err := k.Member(k.t.Context(), membership.MemberRequest{Tenant: tenant, Account: account})
	require.NoError(k.t, err)
	return m
}

// free asserts that an account may do something for nothing, and why.
func (k *kit) free(account quota.AccountID, feature membership.Feature, why string) {
	k.t.Helper()
	d, err := k.decide(account, feature)
	require.NoError(k.t, err)
	require.Equal(k.t, why, d.Free)
}

// charged asserts that something costs units.
func (k *kit) charged(account quota.AccountID, feature membership.Feature, kind quota.ChargeKind, units quota.Units) {
	k.t.Helper()
	d, err := k.decide(account, feature)
	require.NoError(k.t, err)
	require.Empty(k.t, d.Free)
	require.Equal(k.t, kind, d.Kind)
	require.Equal(k.t, units, d.Units)
	require.Equal(k.t, account, d.Account)
}

// denied asserts a refusal and its reason.
func (k *kit) denied(account quota.AccountID, feature membership.Feature, why membership.DenyReason) {
	k.t.Helper()
	_, err := k.decide(account, feature)
	var denied *membership.DeniedError
	require.ErrorAs(k.t, err, &denied)
	require.ErrorIs(k.t, err, membership.ErrDenied)
	require.Equal(k.t, why, denied.Reason)
}
