package membership

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A StatusRequest changes whether an account may act.
type StatusRequest struct {
	Tenant  string          `json:"tenant"`
	ID      string          `json:"id"` // of this call
	Account quota.AccountID `json:"account"`
	Reason  string          `json:"reason"` // a code, such as "unpaid", "check_failed", "crime"; required
	Actor   string          `json:"actor"`  // required
}

// Suspend denies an account everything but finishing what runs, at once, units
// in the same commit (H26, H33, T37). Its terms run on (H55). It fails with
// [ErrState] if the account is terminated, [ErrRequest] or [ErrIntentMismatch].
func (s *Service) Suspend(ctx context.Context, req StatusRequest) (Member, error) {
	return update(ctx, s, req, s.SuspendTx)
}

// SuspendTx is [Service.Suspend] within a commit.
func (s *Service) SuspendTx(ctx context.Context, tx *storage.Tx, req StatusRequest) (Member, error) {
	return s.status(ctx, tx, "suspend", Suspended, req)
}

// Resume lifts a suspension, as after an account check that was passed (H33). It
// fails as [Service.Suspend] does.
func (s *Service) Resume(ctx context.Context, req StatusRequest) (Member, error) {
	return update(ctx, s, req, s.ResumeTx)
}

// ResumeTx is [Service.Resume] within a commit.
func (s *Service) ResumeTx(ctx context.Context, tx *storage.Tx, req StatusRequest) (Member, error) {
	return s.status(ctx, tx, "resume", Active, req)
}

// Terminate ends an account for good, with no prior notice (H26, T33, T67): its
// free units are clawed back and what returns later is of no use to it. Money is
// a matter of refunds, which the reason decides: begin them first, units that a
// refund froze are left to it. It fails as [Service.Suspend] does.
func (s *Service) Terminate(ctx context.Context, req StatusRequest) (Member, error) {
	return update(ctx, s, req, s.TerminateTx)
}

// TerminateTx is [Service.Terminate] within a commit.
func (s *Service) TerminateTx(ctx context.Context, tx *storage.Tx, req StatusRequest) (Member, error) {
	return s.status(ctx, tx, "terminate", Terminated, req)
}

func (s *Service) status(ctx context.Context, tx *storage.Tx, op string, to Status, req StatusRequest) (Member, error) {
	if err := checkCall(req.Tenant, req.ID, req.Actor, req.Reason); err != nil {
		return Member{}, err
	}
	if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
		return Member{}, err
	}
	if req.Reason == "" || req.Actor == "" {
		return Member{}, badRequest("reason", "who and why are required")
	}
	return once(tx, req.Tenant, req.ID, op, req, func() (Member, error) {
		m, err := load(tx, req.Tenant, req.Account)
		if err != nil {
			return Member{}, err
		}
		if m.Status == Terminated {
			return Member{}, fmt.Errorf("%w: terminated for good", ErrState)
		}
		m.Status, m.Reason = to, req.Reason
		if to == Active {
			m.Reason = ""
		}
		if err := s.units(ctx, tx, to, req); err != nil {
			return Member{}, err
		}
		if err := save(tx, req.Tenant, m); err != nil {
			return Member{}, err
		}
		return shown(tx, req.Tenant, req.Account)
	})
}

// units does to the account's units what happens to the account.
func (s *Service) units(ctx context.Context, tx *storage.Tx, to Status, req StatusRequest) error {
	if s.cfg.Ledger == nil {
		return nil
	}
	id := "mem/" + req.ID
	change := quota.SuspendRequest{Tenant: req.Tenant, ID: id, Account: req.Account, Reason: req.Reason, Actor: req.Actor}
	if to == Active {
		return s.cfg.Ledger.ResumeTx(ctx, tx, change)
	}
	if err := s.cfg.Ledger.SuspendTx(ctx, tx, change); err != nil || to == Suspended {
		return err
	}
	_, err := s.cfg.Ledger.ClawTx(ctx, tx, quota.ClawRequest{
		Tenant: req.Tenant, ID: id + "/claw", Account: req.Account, Actor: req.Actor, Reason: req.Reason,
	})
	return err
}

// A SeatRequest gives an account a seat in a team, or takes it.
type SeatRequest struct {
	Tenant  string          `json:"tenant"`
	ID      string          `json:"id"`   // of this call
	Team    quota.AccountID `json:"team"` // the account whose team membership it is
	Account quota.AccountID `json:"account"`
	Until   time.Time       `json:"until,omitzero"` // zero: until taken
}

// GiveSeat lets an account use a team's features while the team's membership is
// active. The seats of a team never exceed the bound of the item in force (M4).
// It fails with [ErrSeats], [ErrState] if no team membership runs, [ErrRequest]
// or [ErrIntentMismatch].
func (s *Service) GiveSeat(ctx context.Context, req SeatRequest) (Member, error) {
	return update(ctx, s, req, s.GiveSeatTx)
}

// GiveSeatTx is [Service.GiveSeat] within a commit.
func (s *Service) GiveSeatTx(ctx context.Context, tx *storage.Tx, req SeatRequest) (Member, error) {
	req.Until = req.Until.UTC().Truncate(time.Microsecond)
	return s.seat(tx, "seat", req, func(m *Member, now time.Time) error {
		lane := m.Lane(Team)
		if !lane.End().After(now) {
			return fmt.Errorf("%w: no team membership runs", ErrState)
		}
		if !req.Until.IsZero() && !req.Until.After(now) {
			return badRequest("until", "in the past")
		}
		taken := 0
		for _, seat := range m.Seats {
			if within(now, seat.From, seat.Until) && seat.Account != req.Account {
				taken++
			}
		}
		// Every coming term must have room, not only the running one.
		for _, seg := range lane.Segments {
			if !seg.Until.After(now) {
				continue
			}
			for _, at := range s.seatInstants(seg, now) {
				if _, limit := s.cfg.Catalogue.current(seg, at); limit != nil && taken+1 > *limit {
					return ErrSeats
				}
			}
		}
		m.Seats = slices.DeleteFunc(m.Seats, func(seat Seat) bool {
			return seat.Account == req.Account || !seat.Until.IsZero() && !seat.Until.After(now)
		})
		m.Seats = append(m.Seats, Seat{Account: req.Account, From: now, Until: req.Until})
		return nil
	})
}

// seatInstants are the instants of a segment at which its bound may change.
func (s *Service) seatInstants(seg Segment, now time.Time) []time.Time {
	out := []time.Time{now}
	for _, i := range s.cfg.Catalogue.Items {
		if i.ID == seg.Item.ID && i.ForExisting.After(now) && i.ForExisting.Before(seg.Until) {
			out = append(out, i.ForExisting)
		}
	}
	return out
}

// TakeSeat ends a seat now. One that is not there is no error. It fails with
// [ErrRequest] or [ErrIntentMismatch].
func (s *Service) TakeSeat(ctx context.Context, req SeatRequest) (Member, error) {
	return update(ctx, s, req, s.TakeSeatTx)
}

// TakeSeatTx is [Service.TakeSeat] within a commit.
func (s *Service) TakeSeatTx(ctx context.Context, tx *storage.Tx, req SeatRequest) (Member, error) {
	req.Until = req.Until.UTC().Truncate(time.Microsecond)
	return s.seat(tx, "unseat", req, func(m *Member, _ time.Time) error {
		m.Seats = slices.DeleteFunc(m.Seats, func(seat Seat) bool { return seat.Account == req.Account })
		return nil
	})
}

func (s *Service) seat(tx *storage.Tx, op string, req SeatRequest, change func(*Member, time.Time) error) (Member, error) {
	if s.cfg.Catalogue == nil {
		return Member{}, ErrNoCatalogue
	}
	if err := checkIDs(req.Tenant, req.ID, string(req.Team), string(req.Account)); err != nil {
		return Member{}, err
	}
	if y := req.Until.UTC().Year(); y < 0 || y > 9999 { // no record holds it
		return Member{}, badRequest("until", "not in the years 0 to 9999")
	}
	return once(tx, req.Tenant, req.ID, op, req, func() (Member, error) {
		m, err := load(tx, req.Tenant, req.Team)
		if err != nil {
			return Member{}, err
		}
		if err := change(&m, tx.Now(s.cfg.Now)); err != nil {
			return Member{}, err
		}
		if err := save(tx, req.Tenant, m); err != nil {
			return Member{}, err
		}
		return shown(tx, req.Tenant, req.Team)
	})
}

// seated looks for a seat of the account in a team, and notes the first use of
// the team's term.
func (s *Service) seated(tx *storage.Tx, req CheckRequest, want Feature, now time.Time, record bool) (Decision, error) {
	if err := checkIDs(req.Tenant, string(req.Team)); err != nil {
		return Decision{}, err
	}
	team, err := load(tx, req.Tenant, req.Team)
	if err != nil {
		return Decision{}, err
	}
	seg := s.inForce(&team, Team, want, now)
	if seg == nil {
		return Decision{}, nil
	}
	// A renewal may have fewer seats than are taken: the earliest count (M4).
	_, limit := s.cfg.Catalogue.current(*seg, now)
	has, n := false, 0
	for _, seat := range team.Seats {
		if !within(now, seat.From, seat.Until) {
			continue
		}
		if n++; limit != nil && n > *limit {
			break
		}
		has = has || seat.Account == req.Account
	}
	if !has {
		return Decision{}, nil
	}
	if record && seg.FirstUse.IsZero() {
		seg.FirstUse = now
		if err := save(tx, req.Tenant, team); err != nil {
			return Decision{}, err
		}
	}
	why := FreeSeat
	if want == FeatureApproval {
		why = FreeTeam
	}
	return Decision{Free: why, Item: seg.Item}, nil
}
