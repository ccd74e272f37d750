package sms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

const (
	page        = 256              // texts of one pass
	pollEvery   = time.Second      // how often Run looks when nothing is due
	leaseMore   = time.Minute      // beyond Policy.Timeout, before a silent submission is Unknown
	pauseFor    = 10 * time.Minute // a misconfigured gateway rests
	putOff      = time.Minute      // after a failure that is not the text's
	receiptWait = 72 * time.Hour
)

// reconcile says when an Unknown text is asked about, after its submission.
var reconcile = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour}

// submission is what a gateway's key leads back to.
type submission struct {
	Tenant string `json:"tenant"`
	ID     string `json:"id"`
}

// Both indexes are records of the deployment: a receipt names no tenant.
var (
	byKey      = storage.Kind[submission]{Name: "sms.submission", Schema: 1}
	byProvider = storage.Kind[submission]{Name: "sms.provider", Schema: 1}
)

// rest is a gateway that refused for a reason of its own.
type rest struct {
	Until time.Time `json:"until"`
	Code  string    `json:"code,omitempty"`
}

var rests = storage.Kind[rest]{Name: "sms.gateway", Schema: 1}

// Run hands over what is due until ctx ends, whose error it returns. Any number
// of processes may run it. It starts goroutines while it hands over and ends
// them before it returns.
func (s *Service) Run(ctx context.Context) error {
	polled := s.now()
	for {
		n, err := s.Deliver(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "sms: deliver", "err", err)
		}
		if now := s.now(); now.Sub(polled) >= time.Minute {
			if err := s.Tend(ctx, polled); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "sms: sweep", "err", err)
			}
			polled = now
		}
		if n > 0 && err == nil && ctx.Err() == nil {
			continue
		}
		t := time.NewTimer(pollEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Deliver makes one pass over the texts that are due, at most 256, and returns
// how many of them moved. Run repeats it; examples and tests step it by hand.
// The error joins those of single texts, which are due again later; it holds
// nothing personal.
func (s *Service) Deliver(ctx context.Context) (n int, err error) {
	due, err := s.store.Due(ctx, messages.Name, s.now(), page)
	if err != nil {
		return 0, fmt.Errorf("sms: due: %w", err)
	}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		slot = make(chan struct{}, s.policy.Workers)
		errs []error
	)
	for _, k := range due {
		if ctx.Err() != nil {
			break
		}
		slot <- struct{}{}
		wg.Go(func() {
			defer func() { <-slot }()
			moved, err := s.step(ctx, Ref{k.Tenant, k.ID})
			mu.Lock()
			defer mu.Unlock()
			if moved {
				n++
			}
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return n, errors.Join(errs...)
}

// step takes one due text one step on.
func (s *Service) step(ctx context.Context, ref Ref) (moved bool, err error) {
	if err := s.unlock(ctx, ref.Tenant); err != nil {
		return false, errors.Join(err, s.postpone(ctx, ref))
	}
	recs, err := s.store.Get(ctx, []storage.Key{messages.Key(ref.Tenant, ref.ID)})
	if err != nil {
		return false, fmt.Errorf("sms: deliver: %w", err)
	}
	if recs[0].Version == 0 {
		return false, nil // cleaned meanwhile
	}
	r, err := messages.Decode(recs[0])
	if err != nil { // nobody can read it: it stands aside, so that it keeps nothing else waiting
		return false, errors.Join(err, s.setAside(ctx, recs[0].Key))
	}
	if r.Due.IsZero() {
		return s.clean(ctx, ref)
	}
	switch r.State {
	case StateQueued:
		moved, err = s.submit(ctx, ref)
	case StateSubmitting: // whoever submitted it has died: nobody knows
		moved, err = s.settle(ctx, ref, r.last().Key, SubmitResult{Disposition: Unknown, Code: "lease"}, nil)
	case StateUnknown:
		moved, err = s.ask(ctx, ref, r)
	default:
		moved, err = s.expire(ctx, ref)
	}
	if err != nil {
		err = errors.Join(err, s.postpone(ctx, ref))
	}
	return moved, err
}

// postpone puts a text off whose step failed, so that it does not stand in the
// way of others. A text that is being submitted keeps its lease.
func (s *Service) postpone(ctx context.Context, ref Ref) error {
	return s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		now := tx.Now(s.now)
		if r.State == StateSubmitting || r.Due.IsZero() || r.Due.After(now) {
			return false, nil
		}
		r.Due = now.Add(putOff)
		return true, nil
	})
}

// setAside puts off a record that cannot be read, by a day: a newer release may
// know it.
func (s *Service) setAside(ctx context.Context, k storage.Key) error {
	s.log.ErrorContext(ctx, "sms: a text cannot be read", "tenant", k.Tenant, "id", k.ID)
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		recs, err := tx.Get(k)
		if err != nil || recs[0].Version == 0 {
			return err
		}
		return tx.Put(k, recs[0].Data, tx.Now(s.now).Add(24*time.Hour))
	})
}

// change updates one text.
func (s *Service) change(ctx context.Context, ref Ref, fn func(*storage.Tx, *row) (bool, error)) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		r, ok, err := messages.Get(tx, ref.Tenant, ref.ID)
		if err != nil || !ok {
			return err
		}
		write, err := fn(tx, &r)
		if err != nil || !write {
			return err
		}
		r.Updated = tx.Now(s.now)
		return messages.Put(tx, ref.Tenant, ref.ID, r)
	})
}

// submit hands a queued text over. What is sent was committed as Submitting
// before: a process that dies from here on leaves it Unknown, not sent twice.
func (s *Service) submit(ctx context.Context, ref Ref) (moved bool, err error) {
	judged := map[string]Ruling{}
	for {
		var p ready
		var gw Gateway
		var sub Submission
		var judge string
		key := newKey()
		err = s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
			if r.State == StateSubmitting && r.last().Key == key {
				return false, nil // ours, by a run whose answer was lost
			}
			p, gw, judge, moved = ready{}, nil, "", false
			now := tx.Now(s.now)
			if r.State != StateQueued || r.Due.After(now) {
				return false, nil // another process has it
			}
			var err error
			p, err = s.prepare(ctx, tx, ref, r)
			if err == nil && s.content != nil {
				ruling, ok := judged[p.text]
				if !ok {
					judge = p.text
					return false, nil
				}
				r.Ruling = ruling.Rule
				switch ruling.Verdict {
				case Allow:
				case Hold:
					err = laterError{now.Add(time.Hour)}
				default:
					err = droppedError("content")
				}
			}
			var drop droppedError
			var later laterError
			switch {
			case errors.As(err, &drop):
				moved = true
				return true, s.drop(ctx, tx, ref, r, string(drop))
			case errors.As(err, &later):
				r.Due = later.until
				return true, nil
			case err != nil:
				return false, err
			}
			gw, moved = p.gateways[0], true
			sub, err = s.begin(ctx, tx, ref, r, p, gw, key)
			return true, err
		})
		switch {
		case err != nil:
			return false, err
		case judge != "":
			ruling, err := s.content.Judge(ctx, Content{Tenant: ref.Tenant, Kind: p.template.Kind, Template: p.template.Name, Text: Secret(judge)})
			if err != nil {
				return false, &policyError{err}
			}
			judged[judge] = ruling
		case gw == nil:
			return moved, nil
		default:
			return true, s.handOver(ctx, ref, gw, sub, p)
		}
	}
}

// A policyError keeps the words of a content policy, which may quote the text,
// out of texts and logs; errors.Unwrap gives them to whoever asks.
type policyError struct{ err error }

func (*policyError) Error() string   { return "sms: content policy failed" }
func (e *policyError) Unwrap() error { return e.err }

// begin commits that the text is about to leave, and what it will be known by.
func (s *Service) begin(ctx context.Context, tx *storage.Tx, ref Ref, r *row, p ready, gw Gateway, key string) (Submission, error) {
	var err error
	if r.State, err = next(r.State, stepSubmit); err != nil {
		return Submission{}, err
	}
	sig, err := s.signature(tx, ref.Tenant, r.Signature)
	if err != nil {
		return Submission{}, err
	}
	at, _ := p.template.at(gw.Name())
	head, _ := sig.at(gw.Name())
	now := tx.Now(s.now)
	sub := Submission{Key: key, Kind: r.Kind, To: p.number, Signature: r.Signature, SignatureCode: head.Code, Template: at.Code, Vars: p.vars, Text: p.text}
	r.To, r.Index, r.Masked = &p.to, p.index, p.number.Masked()
	r.Counted, r.Limited = p.counted, true
	r.Attempts = append(r.Attempts, Attempt{Gateway: gw.Name(), Key: sub.Key, At: now})
	r.Due = now.Add(s.timeout(gw) + leaseMore)
	if err := byKey.Create(tx, storage.Deployment, storage.JoinID(gw.Name(), sub.Key), submission(ref)); err != nil {
		return Submission{}, err
	}
	return sub, s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventSubmitting))
}

func (s *Service) timeout(gw Gateway) time.Duration {
	if t := gw.Capabilities().Timeout; t > 0 && t < s.policy.Timeout {
		return t
	}
	return s.policy.Timeout
}

// handOver calls the gateway, once, and commits what it said. If that commit
// does not succeed the text becomes Unknown when its lease ends.
func (s *Service) handOver(ctx context.Context, ref Ref, gw Gateway, sub Submission, p ready) error {
	call, cancel := context.WithTimeout(ctx, s.timeout(gw))
	res, err := callGateway(call, gw, sub)
	cancel()
	if err != nil {
		// Never its words: a gateway's error may quote number and text.
		s.log.WarnContext(ctx, "sms: gateway failed", "gateway", gw.Name(), "key", sub.Key, "disposition", string(res.Disposition), "code", res.Code)
	}
	// What the provider was told cannot be taken back: keep the answer even if
	// the caller is about to leave.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err = s.settle(keep, ref, sub.Key, res, &p)
	return err
}

// callGateway makes sense of whatever a gateway answers: what is not surely one
// of the definitive answers is Unknown. A panic is an answer too.
func callGateway(ctx context.Context, gw Gateway, sub Submission) (res SubmitResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = SubmitResult{Disposition: Unknown, Code: "panic"}, errors.New("sms: gateway panicked")
		}
	}()
	res, err = gw.Submit(ctx, sub)
	return res.sane(), err
}

func (r SubmitResult) sane() SubmitResult {
	r.ProviderID, r.Code = providerText(r.ProviderID, 128), providerText(r.Code, 64)
	switch r.Disposition {
	case Accepted:
		if r.ProviderID == "" {
			r.Disposition = Unknown
		}
	case Rejected, Throttled, Misconfigured:
	default:
		r.Disposition = Unknown
	}
	if r.Segments < 0 || r.Segments > 255 {
		r.Segments = 0
	}
	return r
}

// providerText is an id or code of a provider's as far as it can be kept:
// printable ASCII of a length, or nothing.
func providerText(s string, most int) string {
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
		return ""
	}
	return s
}

// settle commits what became of one submission, with its units (S06). p is nil
// when the answer came by another way than the submission itself; then nothing
// is ever queued again.
func (s *Service) settle(ctx context.Context, ref Ref, key string, res SubmitResult, p *ready) (moved bool, err error) {
	err = s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		moved = false
		a := r.last()
		if a.Key != key || r.State != StateSubmitting && r.State != StateUnknown {
			return false, nil // settled already, or given up: later proof never charges
		}
		now := tx.Now(s.now)
		if res.Disposition == Unknown && r.State == StateUnknown || p == nil && res.Disposition == Unknown && r.Due.After(now) {
			return false, nil
		}
		moved = true
		a.Done, a.Disposition, a.Code, a.Segments = now, res.Disposition, res.Code, res.Segments
		if res.Disposition == Misconfigured {
			if err := rests.Put(tx, storage.Deployment, a.Gateway, rest{Until: now.Add(pauseFor), Code: res.Code}); err != nil {
				return false, err
			}
			if err := s.audit(tx, ref.Tenant, ComponentLog, AuditEntry{Who: a.Gateway, What: "gateway.rest", Why: res.Code}); err != nil {
				return false, err
			}
		}
		switch res.Disposition {
		case Accepted:
			return true, s.accept(ctx, tx, ref, r, res)
		case Unknown:
			r.State, err = next(r.State, stepLose)
			if err != nil {
				return false, err
			}
			r.Due = a.At.Add(s.nextAsk(r))
			return true, s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventUnknown))
		case Throttled:
			a.Retry = now.Add(max(res.RetryAfter, time.Minute))
		}
		if p != nil && r.State == StateSubmitting && res.Cause == "" && len(r.Attempts) < s.policy.Tries {
			until, ok, err := s.again(tx, ref.Tenant, r, *p)
			if err != nil {
				return false, err
			}
			if ok {
				r.State, err = next(r.State, stepRequeue)
				r.Due = until
				return true, err
			}
		}
		return true, s.refuse(ctx, tx, ref, r, res)
	})
	return moved, err
}

// again says when a refused text may be tried, if it may.
func (s *Service) again(tx *storage.Tx, tenant string, r *row, p ready) (time.Time, bool, error) {
	_, err := s.open(tx, tenant, r, p)
	var later laterError
	var drop droppedError
	at := tx.Now(s.now)
	switch {
	case errors.As(err, &later):
		at = later.until
	case errors.As(err, &drop):
		return at, false, nil
	case err != nil:
		return at, false, err
	}
	return at, at.Before(r.Until), nil
}

func (s *Service) accept(ctx context.Context, tx *storage.Tx, ref Ref, r *row, res SubmitResult) (err error) {
	if r.State, err = next(r.State, stepAccept); err != nil {
		return err
	}
	a := r.last()
	if a.ProviderID = res.ProviderID; a.ProviderID != "" {
		id := storage.JoinID(a.Gateway, a.ProviderID)
		if _, ok, err := byProvider.Get(tx, storage.Deployment, id); err != nil {
			return err
		} else if !ok { // a provider that repeats an id leaves it with the first
			if err := byProvider.Create(tx, storage.Deployment, id, submission(ref)); err != nil {
				return err
			}
		}
	}
	if err := s.charge(ctx, tx, ref, r); err != nil {
		return err
	}
	r.Due = tx.Now(s.now).Add(receiptWait)
	return s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventAccepted))
}

func (s *Service) refuse(ctx context.Context, tx *storage.Tx, ref Ref, r *row, res SubmitResult) (err error) {
	if r.State, err = next(r.State, stepReject); err != nil {
		return err
	}
	r.Reason, r.Due = string(res.Disposition), time.Time{}
	if res.Cause != "" {
		r.Reason = string(res.Cause)
	}
	if err := s.release(ctx, tx, ref, r); err != nil {
		return err
	}
	return s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventRejected))
}

func (s *Service) drop(ctx context.Context, tx *storage.Tx, ref Ref, r *row, why string) (err error) {
	if r.State, err = next(r.State, stepDrop); err != nil {
		return err
	}
	r.Reason, r.Due = why, time.Time{}
	if err := s.release(ctx, tx, ref, r); err != nil {
		return err
	}
	return s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventDropped))
}

// expire ends the wait for a receipt.
func (s *Service) expire(ctx context.Context, ref Ref) (moved bool, err error) {
	err = s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		moved = false
		if r.State != StateAccepted || r.Due.IsZero() || r.Due.After(tx.Now(s.now)) {
			return false, nil
		}
		if r.Delivery == DeliveryOpen {
			r.Delivery = DeliveryExpired
		}
		r.Due, moved = time.Time{}, true
		return true, nil
	})
	return moved, err
}
