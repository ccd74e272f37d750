package sms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// ready is a text about to be handed over.
type ready struct {
	template Template
	to       privacy.Ref
	number   Number
	index    string
	text     string
	vars     []Var
	counted  int
	gateways []Gateway
}

// droppedError says why a text is not sent after all; a code, not a cause.
type droppedError string

func (e droppedError) Error() string { return "sms: dropped: " + string(e) }
func (droppedError) Unwrap() error   { return ErrDropped }

// laterError puts a text off.
type laterError struct{ until time.Time }

func (laterError) Error() string { return "sms: not yet" }

// prepare resolves, checks and renders a text within a commit.
func (s *Service) prepare(ctx context.Context, tx *storage.Tx, ref Ref, r *row) (p ready, err error) {
	now := tx.Now(s.now)
	if !now.Before(r.Until) {
		return p, droppedError("late")
	}
	if err := s.maySend(tx, ref.Tenant); errors.Is(err, ErrStanding) {
		return p, droppedError("standing")
	} else if err != nil {
		return p, err
	}
	if p.template, err = s.version(tx, ref.Tenant, r.Template, r.Version); errors.Is(err, ErrNotApproved) {
		return p, droppedError("template")
	} else if err != nil {
		return p, err
	}
	if r.To != nil {
		p.to = *r.To
	}
	var told map[string]string
	if r.About != "" {
		res, err := s.resolved(ctx, tx, ref, *r)
		if err != nil {
			return p, err
		}
		if r.Challenge != "" && res.To != p.to {
			return p, droppedError("address") // the code is bound to the number that asked
		}
		p.to, told = res.To, res.Vars
	}
	if p.to.Tenant != ref.Tenant {
		return p, droppedError("address")
	}
	p.number, p.index, err = s.number(ctx, tx, p.to)
	if err != nil {
		if gone(err) {
			return p, droppedError("erased")
		}
		return p, err
	}
	values, err := s.values(ctx, tx, ref, r, p, told)
	if err != nil {
		return p, err
	}
	if err := s.gate(tx, ref, r, p.index); err != nil {
		return p, err
	}
	if p.text, p.vars, err = p.template.render(values, s.policy.LinkHosts); err != nil {
		return p, droppedError("variable")
	}
	if !r.Limited && r.Challenge == "" {
		if err := s.limitNotice(tx, ref.Tenant, p.index, r.Template, p.text); err != nil {
			var limit *LimitError
			switch {
			case !errors.As(err, &limit):
				return p, err
			case limit.Scope == "same" && limit.Next.Before(r.Until):
				// Another contract of the same title is no repetition: it comes a little later.
				return p, laterError{limit.Next}
			}
			return p, droppedError("limited")
		}
	}
	var seg Segments
	if p.number.Region() == Domestic {
		seg, err = Count(r.Kind, r.Signature, p.text)
	} else {
		seg, err = CountInternational(r.Kind, "["+r.Signature+"] "+p.text)
	}
	if err != nil {
		return p, droppedError("length")
	}
	if r.Held > 0 && (seg.Units > r.Held || p.number.Region() != Domestic) {
		return p, droppedError("units") // another unit pays for numbers abroad (D15)
	}
	p.counted = seg.Units
	p.gateways, err = s.open(tx, ref.Tenant, r, p)
	return p, err
}

func gone(err error) bool {
	return errors.Is(err, privacy.ErrErased) || errors.Is(err, privacy.ErrRestricted) || errors.Is(err, privacy.ErrNotFound) || errors.Is(err, ErrNumber)
}

// resolved asks the host where a text goes now.
func (s *Service) resolved(ctx context.Context, tx *storage.Tx, ref Ref, r row) (Resolved, error) {
	if s.resolve == nil {
		return Resolved{}, fmt.Errorf("%w: a text has a Ref and Resolve is nil", ErrConfig)
	}
	m := Message{Tenant: ref.Tenant, ID: ref.ID, Kind: r.Kind, Signature: r.Signature, Template: r.Template, Ref: r.About, Account: r.Account}
	if r.To != nil {
		m.To = *r.To
	}
	res, err := s.resolve(ctx, tx, m)
	switch {
	case errors.Is(err, ErrDropped):
		return res, droppedError("resolved")
	case err != nil:
		return res, fmt.Errorf("sms: resolve: %w", err)
	case res.To.IsZero():
		return res, droppedError("address")
	}
	return res, nil
}

// values gathers what the text says.
func (s *Service) values(ctx context.Context, tx *storage.Tx, ref Ref, r *row, p ready, told map[string]string) (map[string]string, error) {
	if r.Challenge == "" {
		kept, err := s.readVars(ctx, tx, r.Vars)
		if err != nil {
			if gone(err) {
				return nil, droppedError("erased")
			}
			return nil, err
		}
		out := map[string]string{}
		maps.Copy(out, kept)
		for name, v := range told { // one hook may serve many templates
			if _, ok := p.template.Vars[name]; ok {
				out[name] = v
			}
		}
		return out, nil
	}
	c, ok, err := challenges.Get(tx, ref.Tenant, r.Challenge)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.peppers, func(k Pepper) bool { return k.ID == c.Pepper })
	if !ok || i < 0 || c.State != challengeOpen || !tx.Now(s.now).Before(c.Expires) {
		return nil, droppedError("code")
	}
	titles, err := s.readVars(ctx, tx, c.Title)
	if err != nil {
		if gone(err) {
			return nil, droppedError("erased")
		}
		return nil, err
	}
	return c.vars(p.template, c.code(s.peppers[i], p.number), titles), nil
}

// gate checks consent and quiet hours once more: a person may have opted out
// since the text was queued.
func (s *Service) gate(tx *storage.Tx, ref Ref, r *row, index string) error {
	if r.Challenge != "" {
		return nil // the person's own act
	}
	if err := s.mayReceive(tx, ref.Tenant, index, r.Kind, r.Basis); err != nil {
		if errors.Is(err, ErrNoConsent) {
			return droppedError("consent")
		}
		return err
	}
	if r.Kind == Marketing {
		if now := tx.Now(s.now); quietUntil(now).After(now) {
			if s.policy.QuietDefers {
				return laterError{quietUntil(now)}
			}
			return droppedError("quiet hours")
		}
	}
	return nil
}

// open lists the gateways that may take the text now.
func (s *Service) open(tx *storage.Tx, tenant string, r *row, p ready) ([]Gateway, error) {
	now := tx.Now(s.now)
	var later time.Time
	soonest := func(t time.Time) {
		if later.IsZero() || t.Before(later) {
			later = t
		}
	}
	var tried []string
	for _, a := range r.Attempts {
		if a.Disposition == Throttled {
			if now.Before(a.Retry) {
				tried = append(tried, a.Gateway)
				soonest(a.Retry)
			}
			continue
		}
		tried = append(tried, a.Gateway)
	}
	list, err := s.route(tx, tenant, p.template, r.Signature, p.number, tried)
	var open []Gateway
	for _, g := range list {
		rec, _, err := rests.Peek(tx, storage.Deployment, g.Name())
		if err != nil {
			return nil, err
		}
		if now.Before(rec.Until) {
			soonest(rec.Until)
			continue
		}
		open = append(open, g)
	}
	switch {
	case len(open) > 0:
		return open, nil
	case !later.IsZero():
		return nil, laterError{later}
	case errors.Is(err, ErrNotApproved):
		return nil, droppedError("approval")
	}
	return nil, droppedError("gateway")
}
