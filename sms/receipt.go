package sms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

const (
	maxReceiptBody = 1 << 20
	maxReceipts    = 1000
)

// nextAsk is how long after its submission an Unknown text is asked about next.
func (s *Service) nextAsk(r *row) time.Duration {
	if r.Asked < len(reconcile) && s.querier(r.last().Gateway) != nil {
		return reconcile[r.Asked]
	}
	return receiptWait
}

func (s *Service) gateway(name string) Gateway {
	for _, g := range s.gateways {
		if g.Name() == name {
			return g
		}
	}
	return nil
}

func (s *Service) querier(name string) Querier {
	q, _ := s.gateway(name).(Querier)
	return q
}

// ask reconciles an Unknown text: it asks the provider, and after 72 hours
// gives up, which releases the units for good.
func (s *Service) ask(ctx context.Context, ref Ref, r row) (moved bool, err error) {
	a := r.last()
	if !s.now().Before(a.At.Add(receiptWait)) {
		return s.giveUp(ctx, ref, a.Key)
	}
	q := s.querier(a.Gateway)
	if q == nil {
		return false, s.askLater(ctx, ref, a.Key)
	}
	query := Query{Key: a.Key, At: a.At}
	if r.To != nil {
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			num, _, err := s.number(ctx, tx, *r.To)
			if err != nil && !gone(err) {
				return err
			}
			query.To = num
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	call, cancel := context.WithTimeout(ctx, s.policy.Timeout)
	res, receipts, err := q.Query(call, query)
	cancel()
	if err != nil {
		s.log.WarnContext(ctx, "sms: query", "gateway", a.Gateway, "key", a.Key, "err", err)
	}
	if res = res.sane(); res.Disposition == Accepted || res.Disposition == Rejected {
		moved, err = s.settle(ctx, ref, a.Key, res, nil)
	} else {
		err = s.askLater(ctx, ref, a.Key)
	}
	if err != nil {
		return moved, err
	}
	return moved, s.Receipts(ctx, a.Gateway, receipts)
}

func (s *Service) askLater(ctx context.Context, ref Ref, key string) error {
	return s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		if r.State != StateUnknown || r.last().Key != key || r.Due.After(tx.Now(s.now)) {
			return false, nil
		}
		r.Asked++
		r.Due = r.last().At.Add(s.nextAsk(r))
		return true, nil
	})
}

func (s *Service) giveUp(ctx context.Context, ref Ref, key string) (moved bool, err error) {
	err = s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		moved = false
		if r.State != StateUnknown || r.last().Key != key {
			return false, nil
		}
		var err error
		if r.State, err = next(r.State, stepGiveUp); err != nil {
			return false, err
		}
		moved = true
		r.Reason, r.Due = "unresolved", time.Time{}
		if err := s.release(ctx, tx, ref, r); err != nil {
			return false, err
		}
		return true, s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, EventUnresolved))
	})
	return moved, err
}

// Receive is the HTTP handler for what a provider pushes. Receipts are hints
// from outside: mount it under a secret path and let only the provider's
// addresses in. It takes at most 1 MiB and 1000 items, answers 404 for a
// gateway that reports nothing, 400 for what it cannot read, and 500 if the
// provider should come again.
func (s *Service) Receive(gateway string) http.Handler {
	src, _ := s.gateway(gateway).(ReceiptSource)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if src == nil {
			http.NotFound(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxReceiptBody)
		got, ack, err := src.Parse(r)
		if err != nil || len(got) > maxReceipts {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		if err := s.Receipts(r.Context(), gateway, got); err != nil {
			s.log.ErrorContext(r.Context(), "sms: receipts", "gateway", gateway, "err", err)
			http.Error(w, "again", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(ack)
	})
}

// Receipts applies what a gateway reported. Applying one twice changes nothing.
// A receipt that fits no text is passed over.
func (s *Service) Receipts(ctx context.Context, gateway string, got []Receipt) error {
	var errs []error
	for _, rc := range got {
		if err := s.receipt(ctx, gateway, rc); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Service) receipt(ctx context.Context, gateway string, rc Receipt) error {
	rc.Key, rc.ProviderID, rc.Code = providerText(rc.Key, 128), providerText(rc.ProviderID, 128), providerText(rc.Code, 64)
	ref, own, err := s.find(ctx, gateway, rc)
	if err != nil || ref == (Ref{}) {
		return err
	}
	if err := s.unlock(ctx, ref.Tenant); err != nil {
		return err
	}
	index := ""
	if rc.To.E164() != "" {
		phone, err := privacy.NewPhone(rc.To.E164())
		if err != nil {
			return nil
		}
		if index, err = s.index(ref.Tenant, phone); err != nil {
			return err
		}
	}
	if rc.Reply != "" {
		if !optOut(string(rc.Reply)) || index == "" {
			return nil
		}
		return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			r, ok, err := messages.Get(tx, ref.Tenant, ref.ID)
			if err != nil || !ok || r.Index != index {
				return err
			}
			return s.suppress(tx, ref.Tenant, index, "reply", Marketing)
		})
	}
	return s.change(ctx, ref, func(tx *storage.Tx, r *row) (bool, error) {
		if index == "" || r.Index != index || r.last().Gateway != gateway {
			return false, nil // of another number: not ours to believe
		}
		if own && rc.Key == r.last().Key && r.State == StateUnknown {
			// Only the provider knows our random key, so the text was taken.
			a := r.last()
			a.Done, a.Disposition, a.Code = tx.Now(s.now), Accepted, rc.Code
			if err := s.accept(ctx, tx, ref, r, SubmitResult{ProviderID: rc.ProviderID}); err != nil {
				return false, err
			}
		}
		if r.State != StateAccepted {
			return false, nil
		}
		was := r.Delivery
		r.Delivery = was.after(rc.Delivered)
		if r.Delivery == was {
			return false, nil
		}
		if rc.Segments > 0 {
			r.last().Segments = rc.Segments
		}
		r.Due = time.Time{}
		t := EventUndeliverable
		if rc.Delivered {
			t = EventDelivered
		}
		return true, s.tell(ctx, tx, r.event(ref.Tenant, ref.ID, t))
	})
}

// find is the text that a receipt is about; own says that it names our key.
func (s *Service) find(ctx context.Context, gateway string, rc Receipt) (ref Ref, own bool, err error) {
	for _, x := range []struct {
		kind storage.Kind[submission]
		id   string
		own  bool
	}{{byKey, rc.Key, true}, {byProvider, rc.ProviderID, false}} {
		if x.id == "" {
			continue
		}
		recs, err := s.store.Get(ctx, []storage.Key{x.kind.Key(storage.Deployment, storage.JoinID(gateway, x.id))})
		if err != nil {
			return Ref{}, false, fmt.Errorf("sms: receipt: %w", err)
		}
		if recs[0].Version == 0 {
			continue
		}
		sub, err := x.kind.Decode(recs[0])
		return Ref(sub), x.own, err
	}
	return Ref{}, false, nil
}

// poll asks the gateways that report by being asked.
func (s *Service) poll(ctx context.Context, since time.Time) {
	for _, g := range s.gateways {
		src, ok := g.(ReceiptSource)
		if !ok {
			continue
		}
		call, cancel := context.WithTimeout(ctx, s.policy.Timeout)
		got, err := src.Poll(call, since)
		cancel()
		if err == nil && len(got) > maxReceipts {
			got = got[:maxReceipts]
		}
		if err == nil {
			err = s.Receipts(ctx, g.Name(), got)
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sms: poll failed", "gateway", g.Name()) // not its words
		}
	}
}
