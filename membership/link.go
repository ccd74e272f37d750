package membership

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A LinkRequest binds two accounts of one person.
type LinkRequest struct {
	Tenant string          `json:"tenant"`
	ID     string          `json:"id"` // of this call
	First  quota.AccountID `json:"first"`
	Second quota.AccountID `json:"second"`
	Actor  string          `json:"actor"` // required: who saw the person bind them
}

// Link binds the accounts of a WeChat and a phone login after the person asked
// for it (H29). From then on each has the memberships of both; terms keep their
// timelines and are not added up, unless [Config].StackTerms says so, and what
// stops one account stops both. Lots
// stay where they are until quota.Ledger.Merge (D09). Nothing undoes a link. It
// fails with [ErrState] if one of them is linked to a third, [ErrRequest] or
// [ErrIntentMismatch].
func (s *Service) Link(ctx context.Context, req LinkRequest) (Member, error) {
	return update(ctx, s, req, s.LinkTx)
}

// LinkTx is [Service.Link] within a commit.
func (s *Service) LinkTx(_ context.Context, tx *storage.Tx, req LinkRequest) (Member, error) {
	if err := checkCall(req.Tenant, req.ID, req.Actor, ""); err != nil {
		return Member{}, err
	}
	if err := checkIDs(req.Tenant, string(req.First), string(req.Second)); err != nil {
		return Member{}, err
	}
	switch {
	case req.Actor == "":
		return Member{}, badRequest("actor", "required")
	case req.First == req.Second:
		return Member{}, badRequest("second", "the same account")
	}
	return once(tx, req.Tenant, req.ID, "link", req, func() (Member, error) {
		a, err := load(tx, req.Tenant, req.First)
		if err != nil {
			return Member{}, err
		}
		b, err := load(tx, req.Tenant, req.Second)
		if err != nil {
			return Member{}, err
		}
		if a.Linked != "" && a.Linked != b.Account || b.Linked != "" && b.Linked != a.Account {
			return Member{}, fmt.Errorf("%w: linked already", ErrState)
		}
		if s.cfg.StackTerms && a.Linked == "" {
			if err := stack(&a, &b, tx.Now(s.cfg.Now)); err != nil {
				return Member{}, err
			}
		}
		a.Linked, b.Linked = b.Account, a.Account
		if err := save(tx, req.Tenant, b); err != nil {
			return Member{}, err
		}
		if err := save(tx, req.Tenant, a); err != nil {
			return Member{}, err
		}
		return shown(tx, req.Tenant, req.First)
	})
}

// linked loads the account that a member is linked to; nil if there is none.
func linked(tx *storage.Tx, tenant string, m *Member) (*Member, error) {
	if m.Linked == "" {
		return nil, nil
	}
	other, err := load(tx, tenant, m.Linked)
	return &other, err
}

// stack adds up the terms of two accounts: what b has left of a type begins when
// a's ends, so that no day of either runs beside the other's.
func stack(a, b *Member, now time.Time) error {
	for i := range b.Lanes {
		lane := &b.Lanes[i]
		behind := a.Lane(lane.Type)
		if !behind.End().After(now) {
			continue
		}
		if err := lane.move(behind.End(), now); err != nil {
			return err
		}
	}
	return nil
}
