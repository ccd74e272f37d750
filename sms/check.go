package sms

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A Proof says that somebody knew the code of a challenge. It is used once, by
// [Service.ConsumeTx], within Policy.ProofLife. It prints and marshals without
// its token; a host that spends it in a later request keeps [Proof.Clear] as
// secret as a session.
type Proof struct {
	Tenant    string `json:"tenant"`
	Challenge string `json:"challenge"`
	Token     Secret `json:"token"`
}

// Clear is the proof as a string, token included, for [ParseProof].
func (p Proof) Clear() string { return storage.JoinID(p.Tenant, p.Challenge, string(p.Token)) }

// ParseProof reads what [Proof.Clear] wrote. It fails with [ErrProof]; whether
// the proof is good only ConsumeTx says.
func ParseProof(s string) (Proof, error) {
	parts, err := storage.SplitID(s)
	if err != nil || len(parts) != 3 {
		return Proof{}, ErrProof
	}
	return Proof{Tenant: parts[0], Challenge: parts[1], Token: Secret(parts[2])}, nil
}

// CheckCode compares a typed code. The attempt is counted and committed before
// anything is compared, so that no number of parallel guesses gets more than
// five comparisons; a right code is then consumed, once. It commits by itself
// and has no Tx form.
//
// A wrong, expired, used, locked or unknown code is [ErrCode] and nothing else;
// the reason goes to Config.Events. Any other error denies too.
func (s *Service) CheckCode(ctx context.Context, tenant, id string, code Secret) (Proof, error) {
	if tenant == "" || tenant == storage.Deployment || id == "" || len(id) > 64 {
		return Proof{}, ErrCode
	}
	if err := s.unlock(ctx, tenant); err != nil {
		return Proof{}, err
	}
	try := rand.Text()
	want, prefix, err := s.countTry(ctx, tenant, id, try)
	if err != nil {
		return Proof{}, err
	}
	if !same(want, code) {
		return Proof{}, s.deny(ctx, tenant, id, "wrong")
	}
	token := Secret(rand.Text())
	sum := sha256.Sum256([]byte(token))
	err = storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		c, ok, err := challenges.Get(tx, tenant, id)
		if err != nil {
			return err
		}
		if ok && c.State == challengeRight && slices.Equal(c.Proof, sum[:]) {
			return nil // this very call, whose first answer was lost
		}
		if !ok || c.State != challengeOpen {
			return ErrCode
		}
		now := tx.Now(s.now)
		c.State, c.Proof, c.RightAt = challengeRight, sum[:], now
		if err := challenges.Put(tx, tenant, id, c); err != nil {
			return err
		}
		l, _, err := locks.Get(tx, tenant, c.Index)
		if err != nil {
			return err
		}
		// This attempt was counted as a failure before it was compared.
		if l.Row = 0; l.Day == today(now) && l.Fail > 0 {
			l.Fail--
		}
		if err := locks.Put(tx, tenant, c.Index, l); err != nil {
			return err
		}
		if err := s.typedIn(tx, prefix); err != nil {
			return err
		}
		return s.tell(ctx, tx, c.event(tenant, id, EventCodeRight, ""))
	})
	if err != nil {
		return Proof{}, err
	}
	return Proof{Tenant: tenant, Challenge: id, Token: token}, nil
}

// countTry commits the attempt and returns the code to compare with, and what
// its number counts under.
func (s *Service) countTry(ctx context.Context, tenant, id, try string) (want Secret, prefix string, err error) {
	reason := ""
	err = storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		want, reason = "", ""
		c, ok, err := challenges.Get(tx, tenant, id)
		if err != nil {
			return err
		}
		if !ok || c.Index == "" { // unknown, or of somebody forgotten
			return ErrCode
		}
		now := tx.Now(s.now)
		l, _, err := locks.Get(tx, tenant, c.Index)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(s.peppers, func(p Pepper) bool { return p.ID == c.Pepper })
		if c.Last != try { // else counted already, by a run whose answer was lost
			switch {
			case c.State == challengeClosed:
				reason = "superseded"
			case c.State != challengeOpen:
				reason = "used"
			case !now.Before(c.Expires):
				reason = "expired"
			case c.Tries >= maxTries:
				reason = "tries"
			case l.shut(now):
				reason = "locked"
			case i < 0:
				reason = "pepper"
			}
			if reason != "" {
				return s.tell(ctx, tx, c.event(tenant, id, EventCodeDenied, reason))
			}
			c.Tries, c.Last = c.Tries+1, try
			if l.Day != today(now) {
				l.Day, l.Fail = today(now), 0
			}
			l.Fail, l.Row = l.Fail+1, l.Row+1
			if err := challenges.Put(tx, tenant, id, c); err != nil {
				return err
			}
			if err := locks.Put(tx, tenant, c.Index, l); err != nil {
				return err
			}
		}
		if i < 0 {
			return ErrCode
		}
		num, _, err := s.numberFor(ctx, tx, c.To, privacy.PurposeIdentity)
		if err != nil {
			return err
		}
		want, prefix = c.code(s.peppers[i], num), breakerID(num)
		return nil
	})
	if err == nil && reason != "" {
		err = ErrCode
	}
	if errors.Is(err, privacy.ErrErased) || errors.Is(err, privacy.ErrRestricted) {
		err = ErrCode // nobody is told that a person was erased
	}
	return want, prefix, err
}

// code derives the code; it is bound to number, purpose, envelope and digest.
func (c challenge) code(p Pepper, num Number) Secret {
	return derive(p.Key, c.Random, num.E164(), c.Purpose, c.Envelope, string(c.Digest))
}

// deny tells why, on the record, and answers as always.
func (s *Service) deny(ctx context.Context, tenant, id, reason string) error {
	if s.events != nil {
		err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
			c, ok, err := challenges.Get(tx, tenant, id)
			if err != nil || !ok {
				return err
			}
			return s.tell(ctx, tx, c.event(tenant, id, EventCodeDenied, reason))
		})
		if err != nil {
			return err
		}
	}
	return ErrCode
}

func (c challenge) event(tenant, id string, t EventType, reason string) Event {
	return Event{Type: t, Tenant: tenant, Ref: c.About, Kind: c.Kind, Template: c.Template, Version: c.Version, Signature: c.Signature,
		To: c.To, Reason: reason, Challenge: id, Purpose: c.Purpose, Envelope: c.Envelope,
		Message: codeMessage(id, c.Sends[len(c.Sends)-1].ID)}
}

// A Binding is what a proof must have been given for.
type Binding struct {
	To       privacy.Ref // the person's number, in the version that is theirs now
	Purpose  string
	Envelope string
	Digest   []byte
}

// CodeEvidence is what an event keeps of a consumed proof: no number, no code.
type CodeEvidence struct {
	Challenge  string      `json:"challenge"`
	Purpose    string      `json:"purpose"`
	To         privacy.Ref `json:"to"`
	Template   string      `json:"template"`
	Version    int         `json:"version"`
	Gateway    string      `json:"gateway,omitempty"`
	ProviderID string      `json:"provider_id,omitempty"`
	Sent       time.Time   `json:"sent"`
	Checked    time.Time   `json:"checked"`
	Tries      int         `json:"tries"`
}

// ConsumeTx spends a proof in the caller's commit: it can never be spent again,
// nor for anything but what the code was asked for (T12). It fails with
// [ErrProof].
func (s *Service) ConsumeTx(ctx context.Context, tx *storage.Tx, p Proof, b Binding) (CodeEvidence, error) {
	if p.Tenant == "" || p.Tenant == storage.Deployment || p.Challenge == "" || len(p.Challenge) > 64 {
		return CodeEvidence{}, ErrProof
	}
	c, ok, err := challenges.Get(tx, p.Tenant, p.Challenge)
	if err != nil {
		return CodeEvidence{}, err
	}
	now := tx.Now(s.now)
	sum := sha256.Sum256([]byte(p.Token))
	switch {
	case !ok,
		c.State != challengeRight,
		!same(Secret(hex.EncodeToString(c.Proof)), Secret(hex.EncodeToString(sum[:]))),
		!now.Before(c.RightAt.Add(s.policy.ProofLife)),
		c.To != b.To, c.Purpose != b.Purpose, c.Envelope != b.Envelope, !slices.Equal(c.Digest, b.Digest):
		return CodeEvidence{}, ErrProof
	}
	c.State, c.UsedAt = challengeUsed, now
	if err := challenges.Put(tx, p.Tenant, p.Challenge, c); err != nil {
		return CodeEvidence{}, err
	}
	e := CodeEvidence{Challenge: p.Challenge, Purpose: c.Purpose, To: c.To, Template: c.Template, Version: c.Version,
		Sent: c.Made, Checked: c.RightAt, Tries: c.Tries}
	for _, x := range slices.Backward(c.Sends) { // the newest text that went out
		r, version, err := messages.Peek(tx, p.Tenant, codeMessage(p.Challenge, x.ID))
		if err != nil {
			return CodeEvidence{}, err
		}
		if version > 0 && r.last().Gateway != "" {
			e.Gateway, e.ProviderID, e.Sent = r.last().Gateway, r.last().ProviderID, r.last().At
			break
		}
	}
	return e, s.tell(ctx, tx, c.event(p.Tenant, p.Challenge, EventCodeUsed, ""))
}
