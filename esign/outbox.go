package esign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// What a job does.
const (
	doRender   = "render"   // make the base revision
	doFinalize = "finalize" // add what Policy.Level asks
	doNotice   = "notice"   // deliver through a channel of the host
	doReceipts = "receipts" // let every party have its receipt
)

// A job is work outside that a commit asked for: its record is written in that
// commit and removed in the one that books the outcome. What happens between
// may be done again after a crash, and changes nothing the second time.
type job struct {
	Do       string    `json:"do"`
	Envelope string    `json:"envelope"`
	At       time.Time `json:"at"` // not before; while it is being done, the end of the lease
	Tries    int       `json:"tries,omitempty"`
	Channel  Channel   `json:"channel,omitempty"`
	Notice   Notice    `json:"notice,omitzero"`
}

var jobs = storage.Kind[job]{Name: "esign.job", Schema: 1, Due: func(j job) time.Time { return j.At }}

const (
	jobLease  = time.Minute
	maxTries  = 12 // of a job; then it is left to the host, with an alarm
	alarmAt   = 3  // tries of a job before the host hears of it
	duePage   = 64
	retryBase = time.Minute
)

// queue writes a job in this commit.
func (x *work) queue(j job) error {
	j.Envelope = x.env.ID
	return jobs.Put(x.tx, x.env.Tenant, x.op(), j)
}

// announce wakes Run up: there may be work.
func (s *Service) announce() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run delivers texts and notices, makes base revisions, finalizes, books
// deadlines and anchors evidence until ctx ends, and returns ctx.Err. Run it in
// at least one process; any number may, over the same store. Work that fails is
// logged without personal data and tried again.
func (s *Service) Run(ctx context.Context) error {
	done := make(chan error, 1)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { done <- s.evidence.Run(inner) }()
	tick := time.NewTicker(s.policy.Poll)
	defer tick.Stop()
	var swept, tended time.Time
	for {
		if now := s.now(); now.Sub(tended) >= time.Minute {
			since := or(tended, now)
			tended = now
			if err := s.sms.Tend(ctx, since); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "esign: texts", "error", err)
			}
		}
		if now := s.now(); now.Sub(swept) >= sweepEvery {
			swept = now
			if _, err := s.SweepBlobs(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "esign: sweep", "error", err)
			}
		}
		if _, err := s.deliverDue(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "esign: delivery", "error", err)
		}
		select {
		case <-ctx.Done():
			cancel()
			<-done
			return ctx.Err()
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Deliver does once what Run does over and over, for hosts with a scheduler of
// their own: everything that is due now. It returns how many things it did, and
// the errors of those that failed, which will be tried again.
func (s *Service) Deliver(ctx context.Context) (int, error) {
	n, err := s.deliverDue(ctx)
	return n, errors.Join(err, s.anchor(ctx))
}

// anchor brings new events into the log, and the log before whoever vouches for
// its time.
func (s *Service) anchor(ctx context.Context) error {
	if _, err := s.evidence.Sequence(ctx); err != nil {
		return err
	}
	_, err := s.evidence.Anchor(ctx)
	return err
}

func (s *Service) deliverDue(ctx context.Context) (int, error) {
	var errs []error
	n, err := s.sms.Deliver(ctx)
	if err != nil {
		errs = append(errs, err)
	}
	for _, pass := range []struct {
		kind string
		do   func(context.Context, storage.Key) error
	}{{jobs.Name, s.perform}, {envelopes.Name, s.sweep}, {checks.Name, s.pursue}, {harvests.Name, s.reap}} {
		// What was done, or failed, is due no more: a page that begins as the one
		// before is stuck.
		for last, more := (storage.Key{}), true; more; {
			keys, err := s.store.Due(ctx, pass.kind, s.now(), duePage)
			if err != nil {
				return n, errors.Join(append(errs, fmt.Errorf("esign: due: %w", err))...)
			}
			if len(keys) == 0 || keys[0] == last {
				break
			}
			last, more = keys[0], len(keys) == duePage
			for _, k := range keys {
				if err := pass.do(ctx, k); err != nil {
					errs = append(errs, err)
					if ctx.Err() != nil {
						return n, errors.Join(errs...)
					}
					continue
				}
				n++
			}
		}
	}
	due, err := s.vault.Due(ctx, duePage)
	if err != nil {
		errs = append(errs, err)
	}
	for _, who := range due {
		if err := s.eraseDue(ctx, who); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// sweep books what fell due. It is bookkeeping: a late one changes no answer.
func (s *Service) sweep(ctx context.Context, k storage.Key) error {
	err := s.vault.Unlock(ctx, k.Tenant)
	if err == nil {
		err = s.book(ctx, k)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, storage.ErrCorrupt) {
		return s.setAside(ctx, k, err)
	}
	// What cannot be booked now stands aside, so that it keeps nothing else waiting.
	return errors.Join(err, storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		recs, err := tx.Get(k)
		if err != nil || recs[0].Version == 0 {
			return err
		}
		return tx.Put(k, recs[0].Data, tx.Now(s.now).Add(retryBase))
	}))
}

func (s *Service) book(ctx context.Context, k storage.Key) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.system(tx, k.Tenant, k.ID)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.apply(ctx, Command{Op: OpSweep, By: WhoSystem}, note{}); err != nil {
			return err
		}
		_, err = x.close()
		return err
	})
}

// perform claims a job, does it outside, and books the outcome.
func (s *Service) perform(ctx context.Context, k storage.Key) error {
	var j job
	claimed := false
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		now := tx.Now(s.now)
		var ok bool
		var err error
		j, ok, err = jobs.Get(tx, k.Tenant, k.ID)
		claimed = ok && !j.At.After(now)
		if err != nil || !claimed {
			return err
		}
		j.At, j.Tries = now.Add(jobLease), j.Tries+1
		return jobs.Put(tx, k.Tenant, k.ID, j)
	})
	if errors.Is(err, storage.ErrCorrupt) {
		return s.setAside(ctx, k, err)
	}
	if err != nil || !claimed {
		return err
	}
	switch j.Do {
	case doRender:
		err = s.render(ctx, k.Tenant, j.Envelope)
	case doFinalize:
		err = s.finalize(ctx, k.Tenant, j.Envelope)
	case doNotice:
		err = s.deliver(ctx, k, j)
	case doReceipts:
		err = s.handReceipts(ctx, k, j.Envelope)
	}
	if errors.Is(err, ErrNotFound) {
		err = nil // the envelope is gone: nothing is left to do
	}
	if err != nil && ctx.Err() == nil && (j.Tries == alarmAt || j.Tries >= maxTries) {
		s.alarm(ctx, k.Tenant, j.Envelope, j.Do+".failed", "tries", j.Tries)
	}
	if err != nil && (j.Tries < maxTries || j.Do == doFinalize) { // an envelope is never left finalizing
		return errors.Join(err, s.postpone(ctx, k, j))
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return jobs.Delete(tx, k.Tenant, k.ID) })
}

// alarm tells the host's operators that somebody should look.
func (s *Service) alarm(ctx context.Context, tenant, envelope, what string, more ...any) {
	s.log.ErrorContext(ctx, "esign: alarm", append([]any{"what", what, "tenant", tenant, "envelope", envelope}, more...)...)
	if s.policy.Alarm != nil {
		s.policy.Alarm(tenant, envelope, what)
	}
}

// setAside puts off a record that cannot even be read, so that it keeps nothing
// else waiting. It looks again once a day, as a newer release may know the record.
func (s *Service) setAside(ctx context.Context, k storage.Key, cause error) error {
	s.alarm(ctx, k.Tenant, "", k.Kind+".unreadable", "id", k.ID)
	return errors.Join(cause, storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		recs, err := tx.Get(k)
		if err != nil || recs[0].Version == 0 || recs[0].Due.After(tx.Now(s.now)) {
			return err
		}
		return tx.Put(k, recs[0].Data, tx.Now(s.now).Add(day))
	}))
}

// postpone lets a job come again after 2^n minutes.
func (s *Service) postpone(ctx context.Context, k storage.Key, j job) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		now, ok, err := jobs.Get(tx, k.Tenant, k.ID)
		if err != nil || !ok || now.Tries != j.Tries {
			return err
		}
		now.At = tx.Now(s.now).Add(retryBase << min(j.Tries-1, 10))
		return jobs.Put(tx, k.Tenant, k.ID, now)
	})
}

// A noticeError keeps the host's own words, which may name a person, out of
// texts and logs; errors.Unwrap gives them to whoever asks.
type noticeError struct {
	channel Channel
	err     error
}

func (e *noticeError) Error() string {
	return "esign: notice not delivered through " + string(e.channel)
}

func (e *noticeError) Unwrap() error { return e.err }

// deliver hands a notice to the host's messenger.
func (s *Service) deliver(ctx context.Context, k storage.Key, j job) error {
	m := s.messenger(j.Channel)
	if m == nil {
		return nil
	}
	n := j.Notice
	n.ID, n.Tenant, n.Envelope, n.At = k.ID, k.Tenant, j.Envelope, s.now().UTC()
	if err := s.attach(ctx, &n); err != nil {
		return err
	}
	if err := m.Deliver(ctx, n); err != nil {
		return &noticeError{channel: j.Channel, err: err}
	}
	return nil
}
