package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// erasedRecord marks that a chain tells of an erasure, so that repeating it
// tells once.
type erasedRecord struct {
	Seq uint64 `json:"seq"`
}

var erasures = storage.Kind[erasedRecord]{Name: "evidence.erased", Schema: 1}

// EraseSubject erases a person: every chain with commitments of theirs gets a
// subject.erased event, then the vault destroys the key (P17, T32). Events,
// commitments and proofs stay as they are and verify; what they stood for can
// no longer be opened by anybody.
//
// Where retention does not allow it yet the subject is restricted and the
// receipt says until when; under a legal hold it is privacy.ErrHeld. Repeating
// the call finishes what was interrupted.
func (l *Log) EraseSubject(ctx context.Context, s privacy.Subject, by Actor, why privacy.Reason) (privacy.Receipt, error) {
	if err := l.vault.Unlock(ctx, s.Tenant); err != nil {
		return privacy.Receipt{}, err
	}
	err := storage.Update(ctx, l.store, func(tx *storage.Tx) error { return l.vault.BeginEraseTx(ctx, tx, s, why) })
	if errors.Is(err, privacy.ErrRetained) {
		return l.vault.EraseSubject(ctx, s)
	}
	if err != nil {
		return privacy.Receipt{}, err
	}
	// Nothing new can mention the subject from here on. The chains are told
	// first: an event without loss is harmless, a loss without event is not.
	for env, err := range l.vault.Envelopes(ctx, s) {
		if err != nil {
			return privacy.Receipt{}, err
		}
		alias, err := l.vault.Alias(s, env)
		if err != nil {
			return privacy.Receipt{}, err
		}
		err = storage.Update(ctx, l.store, func(tx *storage.Tx) error {
			id := storage.JoinID(env, alias)
			_, told, err := erasures.Get(tx, s.Tenant, id)
			if err != nil || told {
				return err
			}
			r, err := l.append(tx, &Draft{Tenant: s.Tenant, Env: env, Type: TypeErased, Actor: by, X: map[string]any{"alias": alias}})
			if err != nil {
				return err
			}
			return erasures.Create(tx, s.Tenant, id, erasedRecord{r.Seq})
		})
		if err != nil {
			return privacy.Receipt{}, fmt.Errorf("evidence: record erasure: %w", err)
		}
	}
	return l.vault.EraseSubject(ctx, s)
}

// explained reports whether a chain tells of the erasure of an alias.
func explained(events []Event, alias string) bool {
	for i := range events {
		if events[i].Type == TypeErased && events[i].X["alias"] == alias {
			return true
		}
	}
	return false
}

// losses finds committed values that the vault cannot open any more although no
// event explains it.
func (l *Log) losses(ctx context.Context, tenant, env string, events []Event) ([]fault, error) {
	var out []fault
	for i := range events {
		e := &events[i]
		if len(e.Personal) == 0 {
			continue
		}
		var lost privacy.Field
		err := storage.View(ctx, l.store, func(tx *storage.Tx) error {
			lost = ""
			for _, c := range e.Personal {
				err := l.vault.KeptTx(tx, tenant, privacy.Context{Env: env, Seq: e.Seq}, c)
				switch {
				case err == nil:
				case errors.Is(err, privacy.ErrErased) && explained(events, c.K):
				case errors.Is(err, privacy.ErrErased), errors.Is(err, privacy.ErrNotFound), errors.Is(err, privacy.ErrKey):
					lost = c.Field
				default:
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("evidence: audit vault: %w", err)
		}
		if lost != "" {
			out = append(out, fault{CodeLoss, e.Seq, "committed " + string(lost) + " is lost without explanation", Failed})
		}
	}
	return out, nil
}
