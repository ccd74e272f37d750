package quota_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A kit is a ledger on a store of its own, with a clock that tests turn.
type kit struct {
	*quota.Ledger
	t     testing.TB
	store storage.Store
	at    time.Time
	calls int
}

// noon is where clocks of tests start: a Monday noon in Asia/Shanghai.
var noon = time.Date(2027, 3, 1, 4, 0, 0, 0, time.UTC)

func newKit(t testing.TB, cfg quota.Config) *kit {
	t.Helper()
	k := &kit{t: t, at: noon}
	if cfg.Store == nil {
		cfg.Store = new(storage.Mem)
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return k.at }
	}
	k.store = cfg.Store
	var err error
	k.Ledger, err = quota.New(cfg)
	require.NoError(t, err)
	return k
}

const (
	tenant  = "acme"
	account = quota.AccountID("hr")
)

// id names a call that the test does not repeat.
func (k *kit) id() string {
	k.calls++
	return "call-" + string(rune('a'+k.calls/26)) + string(rune('a'+k.calls%26))
}

// lot grants signing units for a number of days.
func (k *kit) lot(id quota.LotID, units quota.Units, days int) quota.Lot {
	k.t.Helper()
	lot, err := k.Grant(k.t.Context(), quota.GrantRequest{
		Tenant: tenant, ID: id, Account: account, Unit: quota.UnitSign, Units: units, Term: quota.Term{Days: days},
	})
	require.NoError(k.t, err)
	return lot
}

// line asks for an ordinary signer.
func line(slot quota.SlotID, channel quota.Channel) quota.LineRequest {
	return quota.LineRequest{Slot: slot, Kind: quota.KindOrdinary, Channel: channel}
}

func (k *kit) tryReserve(id quota.HoldID, lines ...quota.LineRequest) (quota.Hold, error) {
	return k.Reserve(k.t.Context(), quota.ReserveRequest{Tenant: tenant, ID: id, Account: account, Lines: lines})
}

func (k *kit) reserve(id quota.HoldID, lines ...quota.LineRequest) quota.Hold {
	k.t.Helper()
	h, err := k.tryReserve(id, lines...)
	require.NoError(k.t, err)
	return h
}

func (k *kit) tryCapture(hold quota.HoldID, slots ...quota.SlotID) (quota.Settlement, error) {
	return k.Capture(k.t.Context(), quota.CaptureRequest{Tenant: tenant, ID: k.id(), Hold: hold, Slots: slots})
}

func (k *kit) capture(hold quota.HoldID, slots ...quota.SlotID) quota.Settlement {
	k.t.Helper()
	s, err := k.tryCapture(hold, slots...)
	require.NoError(k.t, err)
	return s
}

func (k *kit) tryRelease(hold quota.HoldID, cause quota.Cause, slots ...quota.SlotID) (quota.Settlement, error) {
	return k.Release(k.t.Context(), quota.ReleaseRequest{Tenant: tenant, ID: k.id(), Hold: hold, Cause: cause, Slots: slots})
}

func (k *kit) release(hold quota.HoldID, cause quota.Cause, slots ...quota.SlotID) quota.Settlement {
	k.t.Helper()
	s, err := k.tryRelease(hold, cause, slots...)
	require.NoError(k.t, err)
	return s
}

func (k *kit) mark(hold quota.HoldID, slot quota.SlotID, channel quota.Channel, reminder bool) quota.Line {
	k.t.Helper()
	l, err := k.MarkChannel(k.t.Context(), quota.MarkChannelRequest{
		Tenant: tenant, ID: k.id(), Hold: hold, Slot: slot, Channel: channel, Reminder: reminder,
	})
	require.NoError(k.t, err)
	return l
}

func (k *kit) spendable() quota.Units {
	k.t.Helper()
	b, err := k.Balance(k.t.Context(), quota.BalanceRequest{Tenant: tenant, Account: account})
	require.NoError(k.t, err)
	return b.Of(quota.UnitSign).Spendable
}

func (k *kit) lotNow(id quota.LotID) quota.Lot {
	k.t.Helper()
	l, _, err := k.Lot(k.t.Context(), quota.LotRequest{Tenant: tenant, ID: id})
	require.NoError(k.t, err)
	return l
}

// kinds lists the kinds of an account's entries.
func (k *kit) kinds() []quota.EntryKind {
	k.t.Helper()
	st, err := k.Statement(k.t.Context(), quota.StatementRequest{Tenant: tenant, Account: account})
	require.NoError(k.t, err)
	var out []quota.EntryKind
	for _, l := range st.Lines {
		out = append(out, l.Kind)
	}
	return out
}

// verify checks the ledger against itself.
func (k *kit) verify() {
	k.t.Helper()
	_, err := k.Verify(k.t.Context(), tenant)
	require.NoError(k.t, err)
}

// states maps the slots of a settlement to what became of them.
func states(s quota.Settlement) map[quota.SlotID]quota.LineState {
	out := make(map[quota.SlotID]quota.LineState)
	for _, l := range s.Lines {
		out[l.Slot] = l.State
	}
	return out
}
