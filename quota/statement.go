package quota

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A StatementRequest asks for an account's movements.
type StatementRequest struct {
	Tenant  string
	Account AccountID
	From    time.Time // zero: from the first entry
	To      time.Time // the window is [From, To); zero or later than now: up to and with now
	// KnownAt leaves out what was booked later; zero: nothing.
	KnownAt time.Time
}

// A LotBalance is what a lot held at the edge of a statement.
type LotBalance struct {
	Lot       LotID `json:"lot"`
	Unit      Unit  `json:"unit"`
	Available Units `json:"available"`
	Held      Units `json:"held"`
}

// A StatementLine is an entry with the sums after it.
type StatementLine struct {
	Entry
	Unit      Unit   `json:"unit,omitempty"`
	Available Units  `json:"available"` // of the unit, in all lots, after the entry
	Held      Units  `json:"held_sum"`  // likewise
	Zh        string `json:"zh"`        // what happened, in Chinese
	En        string `json:"en"`        // and in English
}

// A Statement lists what happened between two instants, such that opening plus
// lines equals closing for every lot and unit.
type Statement struct {
	Account AccountID       `json:"account"`
	From    time.Time       `json:"from,omitzero"`
	To      time.Time       `json:"to"`
	Opening []LotBalance    `json:"opening"`
	Lines   []StatementLine `json:"lines"`
	Closing []LotBalance    `json:"closing"`
}

// Statement returns an account's movements by their effective instants. What
// was due by To counts whether or not it has been booked: it appears with the
// number it would get now. It fails with [ErrRequest].
func (l *Ledger) Statement(ctx context.Context, req StatementRequest) (Statement, error) {
	p, err := l.past(ctx, req.Tenant, req.Account)
	if err != nil {
		return Statement{}, err
	}
	from, to := instant(req.From), instant(req.To)
	st := Statement{Account: p.now.Account, From: from, To: to, Opening: []LotBalance{}, Lines: []StatementLine{}, Closing: []LotBalance{}}
	open := to.IsZero() || to.After(p.now.at)
	if open {
		st.To = p.now.at
	}
	if !to.IsZero() && to.Before(from) {
		return Statement{}, badRequest("to", "before from")
	}
	// Opening is what was true just before From: due at From belongs inside.
	before := from.Add(-time.Microsecond)
	if from.After(p.now.at) {
		before, st.To = p.now.at, from // nothing has happened in a window to come
	}
	start, err := p.stateAt(ctx, before, req.KnownAt)
	if err != nil {
		return Statement{}, err
	}
	st.Opening = lotBalances(start.head)
	for e, err := range p.entries(ctx, start.Seq) {
		if err != nil {
			return Statement{}, err
		}
		if !open && !e.Effective.Before(to) {
			break
		}
		if !req.KnownAt.IsZero() && e.Recorded.After(req.KnownAt) {
			break
		}
		if err := start.replay(e); err != nil {
			return Statement{}, err
		}
		line := StatementLine{Entry: e}
		line.Zh, line.En = captions(e)
		if lot := start.lot(e.Lot); lot != nil {
			line.Unit = lot.Unit
			for i := range start.Lots {
				if s := &start.Lots[i]; s.Unit == line.Unit {
					line.Available += s.Available()
					line.Held += s.Held
				}
			}
		}
		st.Lines = append(st.Lines, line)
	}
	st.Closing = lotBalances(start.head)
	return st, nil
}

func lotBalances(h *head) []LotBalance {
	out := []LotBalance{}
	for _, lot := range h.Lots {
		if lot.Available() != 0 || lot.Held != 0 {
			out = append(out, LotBalance{lot.ID, lot.Unit, lot.Available(), lot.Held})
		}
	}
	return out
}

// AsOf returns what an account had at an instant, including all that was due by
// then, booked or not. An instant to come shows what will be left if nothing is
// spent. It fails with [ErrRequest].
func (l *Ledger) AsOf(ctx context.Context, req BalanceRequest, at time.Time) (Balance, error) {
	p, err := l.past(ctx, req.Tenant, req.Account)
	if err != nil {
		return Balance{}, err
	}
	s, err := p.stateAt(ctx, at, time.Time{})
	if err != nil {
		return Balance{}, err
	}
	return balance(s.journal), nil
}

// past is an account with its journal.
type past struct {
	l      *Ledger
	tenant string
	stored head     // as the store has it
	now    *journal // opened at the present
}

func (l *Ledger) past(ctx context.Context, tenant string, id AccountID) (*past, error) {
	p := &past{l: l, tenant: tenant}
	err := storage.View(ctx, l.cfg.Store, func(tx *storage.Tx) error {
		o, err := l.read(tx, tenant, id)
		if err != nil {
			return err
		}
		p.now = &o.journal
		p.stored, _, err = heads.Get(tx, tenant, string(o.Account))
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// entries yields the journal above a number: what is booked, then what is due.
func (p *past) entries(ctx context.Context, after uint64) func(func(Entry, error) bool) {
	return func(yield func(Entry, error) bool) {
		if after < p.stored.Seq {
			key := heads.Key(p.tenant, string(p.now.Account))
			for raw, err := range storage.Replay(ctx, p.l.cfg.Store, key, after) {
				var e Entry
				if err == nil {
					e, err = decodeEntry(raw.Data)
				}
				if err == nil && e.Seq > p.stored.Seq {
					break // came after the head was read
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
		for _, e := range p.now.entries {
			if e.Seq > after && !yield(e, nil) {
				return
			}
		}
	}
}

// state is an account as it was.
type state struct{ *journal }

// stateAt replays the journal up to and with an instant, from the newest
// checkpoint before it.
func (p *past) stateAt(ctx context.Context, at, known time.Time) (state, error) {
	at = instant(at)
	h, err := p.checkpoint(ctx, at, known)
	if err != nil {
		return state{}, err
	}
	s := state{&journal{head: &h, at: at, expired: p.l.cfg.OnExpired}}
	h.Account = p.now.Account
	for e, err := range p.entries(ctx, h.Seq) {
		if err != nil {
			return state{}, err
		}
		if e.Effective.After(at) || !known.IsZero() && e.Recorded.After(known) {
			break
		}
		if err := s.replay(e); err != nil {
			return state{}, err
		}
	}
	if at.After(p.now.at) {
		// To come: what falls due by itself. These entries are nobody's.
		if err := s.advance(); err != nil {
			return state{}, err
		}
	}
	s.finish()
	return s, nil
}

// ways is into how many parts a read of checkpoints divides what is left to
// search: three reads find one of 32 768, the journal of 33 million entries.
const ways = 32

// checkpoint finds the newest checkpoint not after an instant.
func (p *past) checkpoint(ctx context.Context, at, known time.Time) (head, error) {
	var best head
	if !known.IsZero() && known.Before(at) {
		at = known
	}
	// What is sought is lo, or above it and at most hi; 0 is before the first.
	lo, hi := uint64(0), p.stored.Seq/checkpointEntries
	for lo < hi {
		step := (hi - lo + ways - 2) / (ways - 1)
		var probes []uint64
		for k := lo + step; k < hi; k += step {
			probes = append(probes, k)
		}
		probes = append(probes, hi)
		heads, err := p.checkpoints(ctx, probes)
		if err != nil {
			return head{}, err
		}
		for i, h := range heads {
			// Last is when its entries were booked, and none counts later than that.
			if h.Last.After(at) {
				hi = probes[i] - 1
				break
			}
			best, lo = h, probes[i]
		}
	}
	return best, nil
}

// checkpoints reads some checkpoints at once.
func (p *past) checkpoints(ctx context.Context, numbers []uint64) ([]head, error) {
	keys := make([]storage.Key, len(numbers))
	for i, k := range numbers {
		keys[i] = checkpoints.Key(p.tenant, checkpointID(p.now.Account, k))
	}
	recs, err := p.l.cfg.Store.Get(ctx, keys) // they never change, so no transaction is needed
	if err != nil {
		return nil, err
	}
	out := make([]head, len(recs))
	for i, r := range recs {
		if r.Version == 0 {
			return nil, fmt.Errorf("%w: quota: a checkpoint is missing", storage.ErrCorrupt)
		}
		if out[i], err = checkpoints.Decode(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func checkpointID(account AccountID, k uint64) string {
	return storage.JoinID(string(account), fmt.Sprintf("%016x", k))
}

// replay applies an entry to a state: head = replay of the journal (I4).
func (s state) replay(e Entry) error {
	if e.Seq != s.Seq+1 || e.Recorded.Before(s.Last) {
		return fmt.Errorf("%w: quota: journal is not dense, or runs backwards", storage.ErrCorrupt)
	}
	s.Seq, s.Last = e.Seq, e.Recorded
	switch e.Kind {
	case EntrySuspend:
		s.Suspended = e.Reason
		return nil
	case EntryResume:
		s.Suspended = ""
		return nil
	case EntryAlias:
		s.MergedInto = AccountID(e.Reason)
		return nil
	}
	if e.State != nil {
		lot := *e.State
		lot.Lapse = slices.Clone(lot.Lapse)
		s.Lots = slices.DeleteFunc(s.Lots, func(l Lot) bool { return l.ID == lot.ID })
		s.insert(lot)
		return nil
	}
	lot := s.lot(e.Lot)
	if lot == nil {
		return fmt.Errorf("%w: quota: entry of an unknown lot", storage.ErrCorrupt)
	}
	if e.Kind == EntryHold && lot.FirstUse.IsZero() {
		lot.FirstUse = e.Effective
	}
	if !e.Expires.IsZero() {
		n := e.Units
		if e.Kind != EntryHold {
			n = -n
		}
		addLapse(lot, e.Expires, n)
	}
	return move(lot, e.Debit, e.Credit, e.Units)
}

// because says why a line ended without a signature.
func because(cause string) (zh, en string) {
	texts, ok := map[Cause][2]string{
		Revoked:       {"撤销", "revoked"},
		Closed:        {"关闭", "closed"},
		Removed:       {"移除签署人", "signer removed"},
		Satisfied:     {"他人已签", "met by others"},
		Declined:      {"拒签", "declined"},
		Expired:       {"签署超时", "out of time"},
		Invalidated:   {"身份变更", "identity changed"},
		NotStarted:    {"未发出", "not started"},
		ProviderFault: {"服务故障", "service failed"},
	}[Cause(cause)]
	if !ok {
		return "", ""
	}
	return "（" + texts[0] + "）", " (" + texts[1] + ")"
}

// captions say what an entry records.
func captions(e Entry) (zh, en string) {
	switch e.Kind {
	case EntryGrant:
		return "份额到账", "units credited"
	case EntryHold:
		return "发起签署，占用份额", "held for a signer"
	case EntryCapture:
		return "签署完成，扣除份额", "used by a signature"
	case EntryForfeit:
		zh, en = because(e.Reason)
		return "未签署，按规则不退还" + zh, "not signed; kept by rule" + en
	case EntryRelease:
		zh, en = because(e.Reason)
		return "份额退还" + zh, "returned" + en
	case EntryLapse:
		return "占用到期，份额退还", "hold ran out; returned"
	case EntryExpire:
		return "有效期届满，份额失效", "expired"
	case EntryClaw:
		return "份额收回", "taken back"
	case EntryFreeze:
		return "退款处理中，份额冻结", "frozen by a refund"
	case EntryThaw:
		return "退款取消，份额解冻", "refund cancelled"
	case EntryRefund:
		return "退款完成", "refunded"
	case EntryMerge:
		if e.Credit == BookTransit {
			return "账号合并，份额转出", "moved to the merged account"
		}
		return "账号合并，份额转入", "moved in from a merged account"
	case EntryAlias:
		return "账号已合并", "account merged"
	case EntrySuspend:
		return "账号停用", "account suspended"
	case EntryResume:
		return "账号恢复", "account resumed"
	}
	return string(e.Kind), string(e.Kind)
}
