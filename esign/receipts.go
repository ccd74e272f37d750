package esign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

// Receipt returns what a party keeps so that the operator can never again tell
// another story of an envelope (see [evidence.Receipt]): the end of its chain, in
// a checkpoint of the log. It is handed out on demand, costs nothing, and is
// recorded. Every party gets it by itself once the envelope is completed, through
// the [Messenger] of its channel. It fails with [ErrNotFound] as [Service.Get]
// does.
func (s *Service) Receipt(ctx context.Context, a Actor, envelope string) (evidence.Receipt, error) {
	env, err := s.Get(ctx, a, envelope)
	if err != nil {
		return evidence.Receipt{}, err
	}
	r, err := s.receipt(ctx, a.Tenant, env.ID)
	if err != nil {
		return evidence.Receipt{}, err
	}
	_, err = mutate(ctx, s, a, func(tx *storage.Tx) (struct{}, error) {
		x, err := s.open(tx, a, env.ID)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, x.tell(ctx, "receipt.issued", x.reader(), map[string]any{"fingerprint": r.Fingerprint()})
	})
	return r, err
}

// reader is in what part the actor reads.
func (x *work) reader() Who {
	if x.env.ownedBy(x.a) {
		return WhoOwner
	}
	return WhoRecipient
}

// receipt makes the receipt of an envelope, its newest events in the log first.
func (s *Service) receipt(ctx context.Context, tenant, envelope string) (evidence.Receipt, error) {
	if _, err := s.evidence.Sequence(ctx); err != nil {
		return evidence.Receipt{}, err
	}
	// Without an anchor the receipt says less, and no worse.
	if _, err := s.evidence.Anchor(ctx); err != nil {
		s.log.WarnContext(ctx, "esign: anchor before receipt", "error", err)
	}
	return s.evidence.Receipt(ctx, tenant, envelope)
}

// handReceipts lets every party of a completed envelope have its receipt: it
// records that there is one, and queues a notice to each.
func (s *Service) handReceipts(ctx context.Context, k storage.Key, envelope string) error {
	if err := s.vault.Unlock(ctx, k.Tenant); err != nil {
		return err
	}
	r, err := s.receipt(ctx, k.Tenant, envelope)
	if err != nil {
		return err
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.system(tx, k.Tenant, envelope)
		if err != nil {
			return err
		}
		if _, ok, err := jobs.Get(tx, k.Tenant, k.ID); err != nil || !ok {
			return err // another process did it
		}
		if err := jobs.Delete(tx, k.Tenant, k.ID); err != nil {
			return err
		}
		if err := x.tell(ctx, eventReceipt, WhoSystem, map[string]any{"fingerprint": r.Fingerprint()}); err != nil {
			return err
		}
		for i, e := range x.receivers() {
			if s.messenger(e.channel) == nil {
				continue
			}
			j := job{Do: doNotice, Envelope: envelope, At: tx.Now(s.now), Channel: e.channel, Notice: e.notice}
			if err := jobs.Put(tx, k.Tenant, storage.JoinID(k.ID, formatUint(uint64(i))), j); err != nil {
				return err
			}
		}
		return nil
	})
}

const eventReceipt = "receipt.issued"

type receiver struct {
	channel Channel
	notice  Notice
}

// receivers are the parties: the owner, and every row that was told.
func (x *work) receivers() []receiver {
	out := []receiver{{toOwner, Notice{Account: x.env.Owner.Account, Event: eventReceipt}}}
	for i := range x.env.Recipients {
		r := &x.env.Recipients[i]
		if r.told() && r.State != RecipientReplaced {
			out = append(out, receiver{r.Channel, Notice{Recipient: r.ID, Account: r.Party.Account, Event: eventReceipt}})
		}
	}
	return out
}

// toOwner stands for Policy.Owner in a job.
const toOwner Channel = "owner/"

func (s *Service) messenger(c Channel) Messenger {
	if c == toOwner {
		return s.policy.Owner
	}
	return s.policy.Channels[c].Messenger
}

// attach puts the receipt into a notice that tells of one.
func (s *Service) attach(ctx context.Context, n *Notice) error {
	if n.Event != eventReceipt {
		return nil
	}
	r, err := s.evidence.Receipt(ctx, n.Tenant, n.Envelope)
	if err != nil {
		return err
	}
	if n.Receipt, err = json.Marshal(r); err != nil {
		return fmt.Errorf("esign: receipt: %w", errors.Join(err, storage.ErrCorrupt))
	}
	n.Fingerprint = r.Fingerprint()
	return nil
}
