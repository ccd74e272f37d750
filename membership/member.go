package membership

import (
	"context"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A Status says whether an account may act.
type Status string

// Statuses of a member.
const (
	Active     Status = "active"
	Suspended  Status = "suspended"  // denied for now; terms run on (H33, H55)
	Terminated Status = "terminated" // denied for good (H26)
)

// A Seat lets another account use a team's features inside a window.
type Seat struct {
	Account quota.AccountID `json:"account"`
	From    time.Time       `json:"from"`
	Until   time.Time       `json:"until,omitzero"` // zero: open
}

// A Member is what an account has: its status and terms.
type Member struct {
	Account quota.AccountID `json:"account"`
	Status  Status          `json:"status"`
	Reason  string          `json:"reason,omitempty"` // of a suspension or termination
	Lanes   []Lane          `json:"lanes,omitempty"`
	Seats   []Seat          `json:"seats,omitempty"`
	Linked  quota.AccountID `json:"linked,omitempty"` // another account of the same person
	Rev     uint64          `json:"rev"`

	told []reminded // thresholds before an end that were told of
}

// Lane returns the timeline of a plan type, empty if nothing was ever bought.
func (m *Member) Lane(t PlanType) Lane {
	for _, l := range m.Lanes {
		if l.Type == t {
			return l
		}
	}
	return Lane{Type: t}
}

// ActiveAt returns the segment of a plan type in force at an instant, if the
// account is not suspended or terminated and no refund is under way (H05).
func (m *Member) ActiveAt(t PlanType, at time.Time) (Segment, bool) {
	if m.Status != Active {
		return Segment{}, false
	}
	l := m.Lane(t)
	i := l.at(at)
	if i < 0 || l.Segments[i].Frozen {
		return Segment{}, false
	}
	return l.Segments[i], true
}

func (m *Member) lane(t PlanType) *Lane {
	for i := range m.Lanes {
		if m.Lanes[i].Type == t {
			return &m.Lanes[i]
		}
	}
	m.Lanes = append(m.Lanes, Lane{Type: t})
	return &m.Lanes[len(m.Lanes)-1]
}

// memberRecord is a member as stored.
type memberRecord struct {
	Member
	Told []reminded `json:"told,omitempty"`
}

var members = storage.Kind[memberRecord]{Name: "mem.member", Schema: 1, Due: func(r memberRecord) time.Time {
	r.told = r.Told
	return r.nextReminder()
}}

// load reads a member; an absent one is active and has nothing.
func load(tx *storage.Tx, tenant string, account quota.AccountID) (Member, error) {
	r, ok, err := members.Get(tx, tenant, string(account))
	if err == nil && !ok {
		return Member{Account: account, Status: Active}, nil
	}
	r.told = r.Told
	return r.Member, err
}

// shown is a member as an answer: the same whether fresh or kept.
func shown(tx *storage.Tx, tenant string, account quota.AccountID) (Member, error) {
	m, err := load(tx, tenant, account)
	m.told = nil
	return m, err
}

func save(tx *storage.Tx, tenant string, m Member) error {
	m.Rev++
	return members.Put(tx, tenant, string(m.Account), memberRecord{m, m.told})
}

// A MemberRequest names an account.
type MemberRequest struct {
	Tenant  string
	Account quota.AccountID
}

// Member returns an account's status and terms, free of charge (H35, H52). An
// account that never bought anything is active and has none. It fails with
// [ErrRequest].
func (s *Service) Member(ctx context.Context, req MemberRequest) (Member, error) {
	return view(ctx, s, req, s.MemberTx)
}

// MemberTx is [Service.Member] within a commit.
func (s *Service) MemberTx(ctx context.Context, tx *storage.Tx, req MemberRequest) (Member, error) {
	if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
		return Member{}, err
	}
	return shown(tx, req.Tenant, req.Account)
}
