package membership_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Edges that a change of one comparison would move, see internal/mutants.

func TestTax_is_rounded_half_up(t *testing.T) {
	for fen, want := range map[int64][2]int64{5: {1, 6}, 4: {0, 4}, 15: {2, 17}} {
		cat := dated()
		cat.Prices = []membership.Price{{Item: membership.ItemRef{ID: "pack10"}, Money: cny(fen), TaxBps: 1000}}
		k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
		s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "pack10"})
		require.NoError(t, err)
		assert.Equal(t, cny(want[0]), s.Tax)
		assert.Equal(t, cny(want[1]), s.Price, "the tax is added")
	}
}

func TestPrice_order_of_rules_H61_H63(t *testing.T) {
	item := membership.ItemRef{ID: "pack10"}
	price := func(fen int64, change func(*membership.Price)) membership.Price {
		p := membership.Price{Item: item, Money: cny(fen), Inclusive: true}
		if change != nil {
			change(&p)
		}
		return p
	}
	day := func(n int) time.Time { return noon.Add(time.Duration(n) * 24 * time.Hour) }
	from := func(n int) func(*membership.Price) { return func(p *membership.Price) { p.From = day(n) } }
	quote := func(prices []membership.Price, channel string) (int64, error) {
		cat := dated()
		cat.Prices = prices
		k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
		s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "pack10", Channel: channel})
		return s.Price.Amount, err
	}
	for name, c := range map[string]struct {
		prices  []membership.Price
		channel string
		want    int64
	}{
		"the newest of two":           {[]membership.Price{price(1, from(-1)), price(2, from(-2))}, "", 1},
		"in any order":                {[]membership.Price{price(2, from(-2)), price(1, from(-1))}, "", 1},
		"a channel's before a newer":  {[]membership.Price{price(2, func(p *membership.Price) { p.Channel = "ios" }), price(1, from(-1))}, "ios", 2},
		"an account's in its channel": {[]membership.Price{price(3, nil), price(2, func(p *membership.Price) { p.Account, p.Channel = "li", "ios" })}, "ios", 2},
		"and not in another":          {[]membership.Price{price(3, nil), price(2, func(p *membership.Price) { p.Account, p.Channel = "li", "ios" })}, "web", 3},
		"to the moment it ends":       {[]membership.Price{price(3, nil), price(2, func(p *membership.Price) { p.From, p.Until = day(-1), noon })}, "", 3},
		"from the moment it begins":   {[]membership.Price{price(3, nil), price(2, from(0))}, "", 2},
		"the first of two alike":      {[]membership.Price{price(3, nil), price(2, func(p *membership.Price) { p.Item.Version = 1 })}, "", 3},
		"whichever is which":          {[]membership.Price{price(2, func(p *membership.Price) { p.Item.Version = 1 }), price(3, nil)}, "", 2},
		"of this version":             {[]membership.Price{price(3, nil), price(2, func(p *membership.Price) { p.Item.Version = 2 })}, "", 3},
	} {
		got, err := quote(c.prices, c.channel)
		require.NoError(t, err, name)
		assert.Equal(t, c.want, got, name)
	}
	for name, prices := range map[string][]membership.Price{
		"none": nil, "to come": {price(1, func(p *membership.Price) { p.From = noon.Add(1000) })}, "over": {price(1, func(p *membership.Price) { p.Until = noon })},
	} {
		_, err := quote(prices, "")
		require.ErrorIs(t, err, membership.ErrNotForSale, name)
	}
}

func TestItem_is_sold_in_its_window_H27(t *testing.T) {
	cat := dated()
	cat.Items[0].Until = noon.Add(time.Hour)
	next := cat.Items[0]
	next.Version, next.From, next.Until = 2, noon.Add(2*time.Hour), time.Time{}
	cat.Items = append(cat.Items, next)
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	for after, want := range map[time.Duration]int{
		0: 1, time.Hour - time.Microsecond: 1, time.Hour: 0, 2*time.Hour - time.Microsecond: 0, 2 * time.Hour: 2,
	} {
		k.at = noon.Add(after)
		s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "personal"})
		if want == 0 {
			require.ErrorIs(t, err, membership.ErrNotForSale, after)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, want, s.Item.Version, after)
	}
}

func TestCatalogue_ForExisting_is_of_its_item_T39(t *testing.T) {
	cat := dated()
	other := cat.Items[2] // another plan's later version, for existing members, without the benefit
	other.Version, other.Grants, other.ForExisting = 2, nil, noon.Add(time.Hour)
	cat.Items = append(cat.Items, other)
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("o1", "li", "personal")
	k.at = noon.Add(2 * time.Hour)
	k.free("li", membership.FeatureOrdinary, membership.FreeMember)
}

// TestCatalogue_is_checked_one_by_one: each entry breaks one rule.
func TestCatalogue_is_checked_one_by_one(t *testing.T) {
	for name, change := range map[string]func(*membership.Catalogue){
		"price without item":      func(c *membership.Catalogue) { c.Prices[0].Item.ID = "" },
		"price without currency":  func(c *membership.Catalogue) { c.Prices[0].Money.Currency = "" },
		"price below zero":        func(c *membership.Catalogue) { c.Prices[0].Money.Amount = -1 },
		"tax below zero":          func(c *membership.Catalogue) { c.Prices[0].TaxBps = -1 },
		"tax above all":           func(c *membership.Catalogue) { c.Prices[0].TaxBps = 10001 },
		"price ends as it begins": func(c *membership.Catalogue) { c.Prices[0].From, c.Prices[0].Until = noon, noon },
		"price is there twice":    func(c *membership.Catalogue) { c.Prices = append(c.Prices, c.Prices[0]) },
		"item without id":         func(c *membership.Catalogue) { c.Items[0].ID = "" },
		"version 0":               func(c *membership.Catalogue) { c.Items[0].Version = 0 },
		"item without title":      func(c *membership.Catalogue) { c.Items[0].Title = "" },
		"item without term":       func(c *membership.Catalogue) { c.Items[0].Term = quota.Term{} },
		"plan of no type":         func(c *membership.Catalogue) { c.Items[0].Type = "" },
		"neither":                 func(c *membership.Catalogue) { c.Items[0].Kind = "thing" },
		"package with a type":     func(c *membership.Catalogue) { c.Items[5].Type = membership.Team },
		"package that grants":     func(c *membership.Catalogue) { c.Items[5].Grants = c.Items[0].Grants },
		"package of nothing":      func(c *membership.Catalogue) { c.Items[5].Lots = nil },
		"seats below zero":        func(c *membership.Catalogue) { c.Items[1].Seats = ptr(-1) },
		"seats for one":           func(c *membership.Catalogue) { c.Items[0].Seats = ptr(1) },
		"refund rule":             func(c *membership.Catalogue) { c.Items[0].Refund = "maybe" },
		"item ends as it begins":  func(c *membership.Catalogue) { c.Items[0].From, c.Items[0].Until = noon, noon },
		"grants a check":          func(c *membership.Catalogue) { c.Items[0].Grants = []membership.Feature{membership.FeaturePersonCheck} },
		"lot without unit":        func(c *membership.Catalogue) { c.Items[5].Lots[0].Unit = "" },
		"lot without units":       func(c *membership.Catalogue) { c.Items[5].Lots[0].Units = 0 },
		"a term of a century":     func(c *membership.Catalogue) { c.Items[0].Term = quota.Term{Years: 101} },
		"a version twice":         func(c *membership.Catalogue) { c.Items = append(c.Items, c.Items[0]) },
	} {
		k := newKit(t, nil)
		cat := dated()
		change(cat)
		_, err := membership.New(membership.Config{Store: k.store, Catalogue: cat, Ledger: k.ledger, Terms: k.terms})
		require.ErrorIs(t, err, membership.ErrRequest, name)
	}
	k := newKit(t, nil)
	cat := dated()
	cat.Prices[0].TaxBps, cat.Prices[1].TaxBps, cat.Items[1].Seats = 0, 10000, ptr(0)
	cat.Prices[2].From, cat.Prices[2].Until = noon, noon.Add(1000)
	cat.Items[2].From, cat.Items[2].Until = noon, noon.Add(1000)
	_, err := membership.New(membership.Config{Store: k.store, Catalogue: cat, Ledger: k.ledger, Terms: k.terms})
	require.NoError(t, err)
}

func TestPurchase_After_a_timeline_that_has_ended(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "li", "team")
	end := k.member("li").Lanes[0].Segments[0].Until
	for at, from := range map[time.Time]time.Time{end.Add(-day): end, end: end, end.Add(day): end.Add(day)} {
		k.at = at
		s, err := k.Quote(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o", Payer: "li", Item: "personal", After: membership.Team})
		require.NoError(t, err)
		assert.Equal(t, from, s.From)
	}
	// Renewed at the very end: the old chain is over, the new one has its own day.
	k.at = time.Date(2026, 1, 30, 16, 30, 0, 0, time.UTC) // the 31st in Shanghai
	k.publish("v0", "")
	k.buy("m1", "wang", "month")
	k.at = k.member("wang").Lanes[0].Segments[0].Until // 28 February
	k.buy("m2", "wang", "month")
	assert.Equal(t, 28, k.member("wang").Lanes[0].Segments[1].Anchor)
}

func TestLots_source_says_who_paid(t *testing.T) {
	cat := dated()
	cat.Items = append(cat.Items, membership.Item{ID: "trial", Version: 1, Kind: membership.Package, Title: "Trial", Term: quota.Term{Days: 9}, Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 1}}})
	cat.Prices = append(cat.Prices, membership.Price{Item: membership.ItemRef{ID: "trial"}, Money: cny(0)})
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("o1", "li", "pack10")
	k.buy("o2", "li", "trial")
	_, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o3", Payer: "li", Beneficiary: "wang", Item: "pack10"})
	require.NoError(t, err)
	_, err = k.pay("o3", cny(5000))
	require.NoError(t, err)
	for id, want := range map[quota.LotID]quota.Source{"o1/1": quota.Bought, "o2/1": quota.Given, "o3/1": quota.Given} {
		l, _, err := k.ledger.Lot(t.Context(), quota.LotRequest{Tenant: tenant, ID: id})
		require.NoError(t, err)
		assert.Equal(t, want, l.Source, id)
	}
}

func TestAcceptGift_shows_the_version_in_force_H01(t *testing.T) {
	k := upgradeKit(t)
	k.accept("li")
	o, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "o1", Payer: "li", Beneficiary: "wang", Item: "personal"})
	require.NoError(t, err)
	_, err = k.pay("o1", o.Price)
	require.NoError(t, err)
	k.at = k.at.Add(time.Minute)
	shown := k.publish("v2", "")
	wrong := shown[0]
	wrong.Document = "sms"
	for _, terms := range [][]membership.TermsRef{nil, o.Terms, {wrong}} {
		_, err = k.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "wang", Terms: terms})
		require.ErrorIs(t, err, membership.ErrTerms)
	}
	_, err = k.AcceptGift(t.Context(), membership.GiftRequest{Tenant: tenant, Order: "o1", Account: "wang", Terms: append([]membership.TermsRef{wrong, o.Terms[0]}, shown...)})
	require.NoError(t, err)
}

func TestUnclaimedGifts_can_be_left_early(t *testing.T) {
	k := upgradeKit(t)
	k.accept("li")
	for _, id := range []string{"o1", "o2"} {
		_, _, err := k.Purchase(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: id, Payer: "li", Beneficiary: "wang", Item: "personal"})
		require.NoError(t, err)
		_, err = k.pay(id, cny(7300))
		require.NoError(t, err)
	}
	k.at = noon.Add(31 * day)
	count := func(stop int) (n int) {
		for _, err := range k.UnclaimedGifts(t.Context()) {
			require.NoError(t, err)
			if n++; n == stop {
				break
			}
		}
		return n
	}
	assert.Equal(t, 1, count(1))
	assert.Equal(t, 2, count(0))
}

func TestExtend_names_who_and_why(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "li", "personal")
	req := membership.ExtendRequest{Tenant: tenant, ID: "x", Account: "li", Type: membership.Personal, Term: quota.Term{Days: 1}, Reason: "outage", Actor: "ops"}
	for _, change := range []func(*membership.ExtendRequest){
		func(r *membership.ExtendRequest) { r.Reason = "" }, func(r *membership.ExtendRequest) { r.Actor = "" },
	} {
		bad := req
		change(&bad)
		_, err := k.Extend(t.Context(), bad)
		require.ErrorIs(t, err, membership.ErrRequest)
	}
	_, err := k.Extend(t.Context(), req)
	require.NoError(t, err)
}

// TestRefund_of_ended_lots_beside_another: a refund whose lots had ended ends by
// itself, whatever another one of the account has frozen.
func TestRefund_of_ended_lots_beside_another(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "li", "pack10")
	k.at = noon.Add(366 * day)
	k.buy("o2", "li", "pack10")
	law := membership.RefundRequest{Tenant: tenant, ID: "r1", Order: "o1", Cause: membership.CauseLaw, Amount: cny(1), Actor: "ops", Note: "court"}
	_, err := k.BeginRefund(t.Context(), law)
	require.NoError(t, err)
	law.ID, law.Order = "r2", "o2"
	_, err = k.BeginRefund(t.Context(), law)
	require.NoError(t, err)
	o, err := k.ConfirmRefund(t.Context(), membership.EndRefundRequest{Tenant: tenant, ID: "e1", Order: "o1"})
	require.NoError(t, err)
	assert.Equal(t, membership.Refunded, o.State)
	b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
	require.NoError(t, err)
	assert.Equal(t, quota.Units(10), b.Of(quota.UnitSign).Frozen, "the other is still under way")
	law.ID, law.Amount = "r3", cny(0)
	_, err = k.QuoteRefund(t.Context(), law)
	require.ErrorIs(t, err, membership.ErrRequest, "nothing is no amount")
}

func TestRefund_of_the_rest_is_rounded_up_H59(t *testing.T) {
	cat := dated()
	cat.Items = append(cat.Items, membership.Item{ID: "three", Version: 1, Kind: membership.Package, Title: "Three", Term: quota.Term{Days: 9}, Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 3}}})
	cat.Prices = append(cat.Prices, membership.Price{Item: membership.ItemRef{ID: "three"}, Money: cny(1000)})
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("o1", "li", "three")
	_, err := k.ledger.Charge(t.Context(), quota.ChargeRequest{Tenant: tenant, ID: "c", Account: "li", Lines: []quota.LineRequest{{Slot: "s", Kind: quota.KindOrdinary}}})
	require.NoError(t, err)
	q, err := k.QuoteRefund(t.Context(), membership.RefundRequest{Tenant: tenant, ID: "r", Order: "o1", Cause: membership.CauseProvider, Invoices: true, Actor: "ops", Note: "x"})
	require.NoError(t, err)
	assert.Equal(t, cny(667), q.Amount)
}

func TestUpgrade_edges(t *testing.T) {
	// What is left is rounded down for a conversion.
	k := upgradeKit(t)
	k.buy("old", "li", "personal")
	k.at = noon.Add(time.Second)
	assert.Equal(t, cny(7299), k.upgrade("up", "li", "team", membership.Convert).Summary.Upgrade.Credit)

	// At the very end nothing runs; a term that ends is not one of those that end.
	k.buy("next", "li", "personal")
	k.at = noon.Add(365 * day)
	assert.Equal(t, []string{"next"}, k.upgrade("up", "li", "team", membership.Convert).Summary.Upgrade.Orders)
	k.at = noon.Add(730 * day)
	for _, mode := range []membership.UpgradeMode{membership.Parallel, membership.AtEnd, membership.Convert, membership.ProrateCharge} {
		_, err := k.QuoteUpgrade(t.Context(), membership.PurchaseRequest{Tenant: tenant, ID: "x", Payer: "li", Item: "team"}, mode)
		require.ErrorIs(t, err, membership.ErrState, mode)
	}

	// A team membership that ends right now is out of the way.
	k = upgradeKit(t)
	k.buy("team", "li", "team")
	k.at = noon.Add(day)
	k.buy("old", "li", "personal")
	k.at = noon.Add(365 * day)
	q := k.upgrade("up", "li", "team", membership.ProrateCharge)
	o, _, err := k.Upgrade(t.Context(), q)
	require.NoError(t, err)
	_, err = k.pay("up", o.Price)
	require.NoError(t, err)
	m := k.member("li")
	assert.Len(t, m.Lane(membership.Team).Segments, 2)
}

// TestUpgrade_parallel_is_quoted_at_the_price_in_force: the hour that a quote of
// the time left holds is not for prices.
func TestUpgrade_parallel_is_quoted_at_the_price_in_force(t *testing.T) {
	cat := dated()
	cat.Prices = append(cat.Prices, membership.Price{Item: membership.ItemRef{ID: "team"}, Money: cny(20000), TaxBps: 600, Inclusive: true, From: noon.Add(time.Minute)})
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("old", "li", "personal")
	q := k.upgrade("up", "li", "team", membership.Parallel)
	k.at = noon.Add(time.Minute)
	_, _, err := k.Upgrade(t.Context(), q)
	require.ErrorIs(t, err, membership.ErrQuoteChanged)
}

func TestCheck_records_nothing_for_a_linked_account(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "wechat", "personal")
	k.accept("phone")
	_, err := k.Link(t.Context(), membership.LinkRequest{Tenant: tenant, ID: "l", First: "wechat", Second: "phone", Actor: "ops"})
	require.NoError(t, err)
	d, err := k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "phone", Feature: membership.FeatureOrdinary})
	require.NoError(t, err)
	assert.Equal(t, membership.FreeMember, d.Free)
	lanes := k.member("wechat").Lanes
	assert.True(t, lanes[0].Segments[0].FirstUse.IsZero())
}

func TestStatus_keeps_units_until_it_is_final_H26_H33(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "li", "pack10")
	left := func() quota.Units {
		b, err := k.ledger.Balance(t.Context(), quota.BalanceRequest{Tenant: tenant, Account: "li"})
		require.NoError(t, err)
		return b.Of(quota.UnitSign).Spendable
	}
	req := membership.StatusRequest{Tenant: tenant, ID: "s1", Account: "li", Reason: "check_failed", Actor: "ops"}
	m, err := k.Suspend(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, "check_failed", m.Reason)
	assert.Equal(t, quota.Units(10), left(), "a suspension takes nothing")
	req.ID = "s2"
	m, err = k.Resume(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, m.Reason)
	req.ID = "s3"
	m, err = k.Terminate(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, "check_failed", m.Reason)
	assert.Zero(t, left())
	for _, change := range []func(*membership.StatusRequest){
		func(r *membership.StatusRequest) { r.Reason = "" }, func(r *membership.StatusRequest) { r.Actor = "" },
	} {
		bad := membership.StatusRequest{Tenant: tenant, ID: "s4", Account: "wang", Reason: "x", Actor: "ops"}
		change(&bad)
		_, err = k.Suspend(t.Context(), bad)
		require.ErrorIs(t, err, membership.ErrRequest)
	}
}

// seats gives or takes a seat in a team.
func (k *kit) seats(give bool, id string, account quota.AccountID, until time.Time) ([]quota.AccountID, error) {
	k.t.Helper()
	call := k.TakeSeat
	if give {
		call = k.GiveSeat
	}
	m, err := call(k.t.Context(), membership.SeatRequest{Tenant: tenant, ID: id, Team: "boss", Account: account, Until: until})
	var out []quota.AccountID
	for _, s := range m.Seats {
		out = append(out, s.Account)
	}
	return out, err
}

func TestSeats_windows_M4(t *testing.T) {
	cat := catalogue()
	big := cat.Items[2]
	big.ID, big.Seats = "big", nil
	cat.Items = append(cat.Items, big)
	cat.Prices = append(cat.Prices, membership.Price{Item: membership.ItemRef{ID: "big"}, Money: cny(1)})
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("o1", "boss", "team")
	k.buy("o2", "boss", "big")
	k.accept("a", "b", "c", "d")
	_, err := k.seats(true, "s0", "a", noon)
	require.ErrorIs(t, err, membership.ErrRequest, "ends right now")
	_, err = k.seats(true, "s1", "a", noon.Add(time.Hour))
	require.NoError(t, err)
	_, err = k.seats(true, "s2", "b", time.Time{})
	require.NoError(t, err)
	k.at = noon.Add(time.Hour - time.Microsecond)
	_, err = k.seats(true, "s3", "c", time.Time{})
	require.ErrorIs(t, err, membership.ErrSeats)
	got, err := k.seats(true, "s4", "a", noon.Add(time.Hour))
	require.NoError(t, err, "who has one may have it renewed")
	assert.Equal(t, []quota.AccountID{"b", "a"}, got)
	k.at = noon.Add(time.Hour)
	got, err = k.seats(true, "s5", "c", time.Time{})
	require.NoError(t, err, "the first has run out")
	assert.Equal(t, []quota.AccountID{"b", "c"}, got)
	got, err = k.seats(false, "s6", "b", time.Time{})
	require.NoError(t, err)
	assert.Equal(t, []quota.AccountID{"c"}, got)
	_, err = k.seats(true, "s7", "b", time.Time{})
	require.NoError(t, err)
	k.at = k.member("boss").Lanes[0].Segments[0].Until
	for i, account := range []quota.AccountID{"a", "d"} {
		_, err = k.seats(true, "s8"+string(rune('a'+i)), account, time.Time{})
		require.NoError(t, err, "from the second term on there is no bound")
	}
	for n := range 2 {
		k.at = k.at.Add(time.Duration(n) * time.Hour)
		_, err = k.Check(t.Context(), membership.CheckRequest{Tenant: tenant, Account: "d", Team: "boss", Feature: membership.FeatureOrdinary})
		require.NoError(t, err)
		d, err := k.judge(membership.CheckRequest{Tenant: tenant, Account: "d", Team: "boss", Feature: membership.FeatureOrdinary})
		require.NoError(t, err)
		assert.Equal(t, membership.FreeSeat, d.Free)
	}
	m := k.member("boss")
	assert.Equal(t, k.at.Add(-time.Hour), m.Lanes[0].Segments[1].FirstUse, "M9: set once, by the first")
}

// TestSeats_refuse_instants_that_no_record_holds: they are bad input, no panic; and
// an instant is the same in every zone.
func TestSeats_refuse_instants_that_no_record_holds(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "boss", "team")
	for _, year := range []int{-1, 10000} {
		for _, give := range []bool{true, false} {
			_, err := k.seats(give, "s1", "li", time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC))
			require.ErrorIs(t, err, membership.ErrRequest)
		}
	}
	until := k.at.Add(time.Hour)
	_, err := k.seats(true, "s2", "li", until)
	require.NoError(t, err)
	_, err = k.seats(true, "s2", "li", until.In(time.FixedZone("", 8*3600)))
	require.NoError(t, err, "the same request again")
	until = time.Date(9999, 12, 31, 20, 0, 0, 0, time.UTC)
	_, err = k.seats(false, "s3", "li", until.In(time.FixedZone("", 8*3600)))
	require.NoError(t, err, "a year that only its zone has")
	_, err = k.seats(false, "s3", "li", until)
	require.NoError(t, err, "the same request again")
}

// TestSeats_later_version_M4: a version that will hold for existing members bounds
// the seats given before it does.
func TestSeats_later_version_M4(t *testing.T) {
	for name, c := range map[string]struct {
		item string
		when func(until time.Time) time.Time
		fits bool
	}{
		"within the term":   {"team", func(until time.Time) time.Time { return until.Add(-time.Microsecond) }, false},
		"in force already":  {"team", func(time.Time) time.Time { return noon }, false},
		"as the term ends":  {"team", func(until time.Time) time.Time { return until }, true},
		"of another item":   {"other", func(time.Time) time.Time { return noon.Add(time.Hour) }, true},
		"and the next hour": {"team", func(time.Time) time.Time { return noon.Add(time.Hour) }, false},
	} {
		cat := catalogue()
		less := cat.Items[2]
		less.ID, less.Version, less.Seats = c.item, 2, ptr(0)
		less.ForExisting = c.when(time.Date(2028, 3, 1, 4, 0, 0, 0, time.UTC))
		less.From = noon.Add(1000 * day) // not for sale yet
		cat.Items = append(cat.Items, less)
		k := newKit(t, func(cfg *membership.Config) { cfg.Catalogue = cat })
		k.buy("o1", "boss", "team")
		_, err := k.seats(true, "s1", "a", time.Time{})
		if c.fits {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, membership.ErrSeats, name)
		}
	}
}

// TestSeats_more_by_a_later_version_M4: once a version holds that has more seats,
// they are there.
func TestSeats_more_by_a_later_version_M4(t *testing.T) {
	cat := catalogue()
	more := cat.Items[2]
	more.Version, more.Seats, more.ForExisting, more.From = 2, ptr(3), noon.Add(day), noon.Add(1000*day)
	cat.Items = append(cat.Items, more)
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("o1", "boss", "team")
	k.at = noon.Add(2 * day)
	for i, a := range []quota.AccountID{"a", "b", "c"} {
		_, err := k.seats(true, "s"+string(rune('a'+i)), a, time.Time{})
		require.NoError(t, err)
	}
	_, err := k.seats(true, "s4", "d", time.Time{})
	require.ErrorIs(t, err, membership.ErrSeats)
}

func TestReminders_of_an_end_right_now(t *testing.T) {
	k := upgradeKit(t)
	k.buy("o1", "li", "personal")
	k.at = noon.Add(365 * day)
	_, err := k.Sweep(t.Context(), 10)
	require.NoError(t, err)
	for r, err := range k.Reminders(t.Context(), membership.MemberRequest{Tenant: tenant, Account: "li"}) {
		require.NoError(t, err)
		assert.Fail(t, "an end that has come is no news", "%v", r)
	}
}

func TestLink_as_the_first_term_ends(t *testing.T) {
	k := newKit(t, func(c *membership.Config) { c.Catalogue, c.StackTerms = dated(), true })
	k.buy("a", "wechat", "personal")
	k.at = noon.Add(day)
	k.buy("b", "phone", "personal")
	before := k.member("phone").Lanes
	k.at = noon.Add(365 * day)
	_, err := k.Link(t.Context(), membership.LinkRequest{Tenant: tenant, ID: "l", First: "wechat", Second: "phone", Actor: "ops"})
	require.NoError(t, err)
	assert.Equal(t, before, k.member("phone").Lanes, "nothing runs beside it")
}

func TestUpgrade_units_are_cut_and_rounded_up(t *testing.T) {
	k := upgradeKit(t)
	k.buy("old", "li", "personal")
	k.at = noon.Add(365 * day / 2)
	assert.Equal(t, quota.Units(3), k.upgrade("up", "li", "team", membership.ProrateCharge).Summary.Lots[0].Units)
}

func TestCatalogue_longest_term(t *testing.T) {
	for days, want := range map[int]error{36600: nil, 36601: membership.ErrRequest} {
		cat := dated()
		cat.Items[0].Term = quota.Term{Days: days}
		_, err := membership.New(membership.Config{Store: new(storage.Mem), Catalogue: cat, Ledger: newKit(t, nil).ledger, Terms: newKit(t, nil).terms})
		require.ErrorIs(t, err, want, "%d days", days)
	}
}

func TestTerm_has_ended_at_its_end_M3(t *testing.T) {
	k := newKit(t, nil)
	k.buy("o1", "li", "team")
	m := k.member("li")
	lane := m.Lane(membership.Team)
	end := lane.End()
	try := func(id string) (extend, seat error) {
		_, extend = k.Extend(t.Context(), membership.ExtendRequest{Tenant: tenant, ID: "x" + id, Account: "li", Type: membership.Team, Term: quota.Term{Days: 1}, Reason: "outage", Actor: "ops"})
		_, seat = k.GiveSeat(t.Context(), membership.SeatRequest{Tenant: tenant, ID: "s" + id, Team: "li", Account: "wang"})
		return extend, seat
	}
	k.at = end
	extend, seat := try("late")
	require.ErrorIs(t, extend, membership.ErrState)
	require.ErrorIs(t, seat, membership.ErrState)
	k.at = end.Add(-time.Microsecond)
	extend, seat = try("in time")
	require.NoError(t, extend)
	require.NoError(t, seat)
}

// An upgrade waits for its payment while the plan it leads to is bought otherwise.
func TestUpgrade_paid_after_the_other_plan(t *testing.T) {
	for mode, want := range map[membership.UpgradeMode]error{membership.ProrateCharge: membership.ErrPaymentMismatch, membership.Convert: nil} {
		k := upgradeKit(t)
		k.buy("old", "li", "personal")
		o, _, err := k.Upgrade(t.Context(), k.upgrade("up", "li", "team", mode))
		require.NoError(t, err)
		k.buy("bought", "li", "team")
		_, err = k.pay("up", o.Price)
		require.ErrorIs(t, err, want, "%s", mode)
	}
}

func TestUpgrade_to_a_plan_as_dear(t *testing.T) {
	cat := dated()
	cat.Prices[1].Money = cat.Prices[0].Money // team as personal
	k := newKit(t, func(c *membership.Config) { c.Catalogue = cat })
	k.buy("old", "li", "personal")
	assert.Equal(t, cny(0), k.upgrade("up", "li", "team", membership.ProrateCharge).Summary.Price)
}
