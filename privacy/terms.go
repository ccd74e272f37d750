package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// An Act is what a person did that counts as acceptance (D19). Acts have an
// order of strength; each document states the weakest it takes.
type Act string

const (
	ActUse     Act = "use"            // used the service
	ActJoin    Act = "finish_joining" // finished joining
	ActGift    Act = "accept_gift"    // took a gift
	ActPay     Act = "pay"            // paid
	ActTick    Act = "tick"           // ticked the notice
	ActConfirm Act = "confirm"        // confirmed this document explicitly (T42 T75 S10)
)

func (a Act) strength() int {
	switch a {
	case ActUse:
		return 1
	case ActJoin, ActGift, ActPay:
		return 2
	case ActTick:
		return 3
	case ActConfirm:
		return 4
	}
	return 0
}

// A Document is one published version of an agreement or notice.
type Document struct {
	Tenant  string    `json:"tenant"`
	ID      string    `json:"id"`      // "membership", "sms"; at most [MaxID] bytes
	Version string    `json:"version"` // at most [MaxID] bytes
	Digest  string    `json:"digest"`  // SHA-256 of the text shown, 64 lower-case hexadecimal digits
	At      time.Time `json:"at"`      // of publication; zero is the instant of the commit
	Weakest Act       `json:"weakest"` // zero is ActUse
	// Reduces marks a version that reduces people's rights: only acts after its
	// publication accept it (P24), and use does not.
	Reduces bool `json:"reduces,omitempty"`
}

// An Acceptance is the record that an account accepted a version (H01 T01 S01).
type Acceptance struct {
	Tenant   string    `json:"tenant"`
	Account  string    `json:"account"`
	Document string    `json:"document"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest"`
	Act      Act       `json:"act"`
	Client   string    `json:"client,omitempty"` // app, mini-program, web; at most 64 bytes
	At       time.Time `json:"at"`               // zero is the instant of the commit
	// Minor says that the account belongs to somebody under age: it accepts only
	// where the tenant's policy knows guardians and one is on record (H04).
	Minor bool `json:"minor,omitempty"`
}

// A NotAcceptedError says which version an account has still to accept. It is
// [ErrNotAccepted].
type NotAcceptedError struct {
	Document, Version string
	Weakest           Act
}

// Error implements error.
func (e *NotAcceptedError) Error() string {
	return fmt.Sprintf("%v: %s %s", ErrNotAccepted, e.Document, e.Version)
}

// Unwrap returns [ErrNotAccepted].
func (e *NotAcceptedError) Unwrap() error { return ErrNotAccepted }

// Terms keeps published agreements and who accepted them. It works as a
// literal, needs no keys and is safe for concurrent use.
type Terms struct {
	Store storage.Store    // used by the methods without Tx
	Now   func() time.Time // nil is time.Now
	// Guardians says whose policy lets a minor accept with a guardian on record
	// ([Terms.GuardTx]); nil: nobody's (D12).
	Guardians func(tenant string) bool
}

var (
	documents   = storage.Kind[Document]{Name: "privacy.document", Schema: 1}
	currents    = storage.Kind[currentRecord]{Name: "privacy.current", Schema: 1}
	acceptances = storage.Kind[Acceptance]{Name: "privacy.acceptance", Schema: 1}
	// firsts has the first acceptance of any version of a document by an account.
	firsts = storage.Kind[Acceptance]{Name: "privacy.first", Schema: 1}
)

// currentRecord names the version in force and counts changes.
type currentRecord struct {
	Version string `json:"version"`
	Weakest Act    `json:"weakest"`
}

func (t *Terms) clock() func() time.Time {
	if t.Now == nil {
		return time.Now
	}
	return t.Now
}

// PublishTx makes a version the one in force (H03). The same version again
// answers the same; with other content it is [ErrConflict].
func (t *Terms) PublishTx(ctx context.Context, tx *storage.Tx, d Document) (Document, error) {
	if d.Weakest == "" {
		d.Weakest = ActUse
		if d.Reduces {
			d.Weakest = ActTick
		}
	}
	if !isDigest(d.Digest) {
		return Document{}, fmt.Errorf("%w: document digest", ErrInvalid)
	}
	if !okID(d.Tenant) || !okID(d.ID) || !okID(d.Version) || d.Weakest.strength() == 0 || !okInstant(d.At) {
		return Document{}, fmt.Errorf("%w: document", ErrInvalid)
	}
	id := storage.JoinID(d.ID, d.Version)
	had, ok, err := documents.Get(tx, d.Tenant, id)
	if err != nil {
		return Document{}, err
	}
	if ok {
		if !d.At.IsZero() && !instant(tx, d.At, nil).Equal(had.At) || had.Digest != d.Digest || had.Weakest != d.Weakest || had.Reduces != d.Reduces {
			return Document{}, ErrConflict
		}
		return had, nil
	}
	d.At = instant(tx, d.At, t.clock())
	if err := documents.Create(tx, d.Tenant, id, d); err != nil {
		return Document{}, err
	}
	if _, _, err := currents.Get(tx, d.Tenant, d.ID); err != nil {
		return Document{}, err
	}
	return d, currents.Put(tx, d.Tenant, d.ID, currentRecord{d.Version, d.Weakest})
}

// Publish is [Terms.PublishTx] in a commit of its own.
func (t *Terms) Publish(ctx context.Context, d Document) (Document, error) {
	return storage.UpdateValue(ctx, t.Store, func(tx *storage.Tx) (Document, error) { return t.PublishTx(ctx, tx, d) })
}

// CurrentTx is the version of a document in force, or [ErrNotFound].
func (t *Terms) CurrentTx(tx *storage.Tx, tenant, document string) (Document, error) {
	if !okID(tenant) || !okID(document) {
		return Document{}, fmt.Errorf("%w: document", ErrInvalid)
	}
	cur, n, err := currents.Peek(tx, tenant, document)
	if err != nil {
		return Document{}, err
	}
	if n == 0 {
		return Document{}, ErrNotFound
	}
	d, n, err := documents.Peek(tx, tenant, storage.JoinID(document, cur.Version))
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return d, err
}

// AcceptTx records an acceptance of a published version; an empty Version is
// the one in force. The first acceptance of a version is the one kept. Fails
// with [ErrNotFound], [ErrAct] for an act weaker than the document takes or
// dated before its publication, [ErrConflict] for another digest, [ErrMinor].
func (t *Terms) AcceptTx(ctx context.Context, tx *storage.Tx, a Acceptance) (Acceptance, error) {
	if !okID(a.Tenant) || !okID(a.Account) || !okID(a.Document) || len(a.Client) > MaxID || !okInstant(a.At) {
		return Acceptance{}, fmt.Errorf("%w: acceptance", ErrInvalid)
	}
	var d Document
	var err error
	if a.Version == "" {
		d, err = t.CurrentTx(tx, a.Tenant, a.Document)
	} else if okID(a.Version) {
		var n uint64
		if d, n, err = documents.Peek(tx, a.Tenant, storage.JoinID(a.Document, a.Version)); err == nil && n == 0 {
			err = ErrNotFound
		}
	} else {
		err = fmt.Errorf("%w: version", ErrInvalid)
	}
	if err != nil {
		return Acceptance{}, err
	}
	if a.Digest != "" && a.Digest != d.Digest {
		return Acceptance{}, ErrConflict
	}
	a.Version, a.Digest = d.Version, d.Digest
	a.At = instant(tx, a.At, t.clock())
	if a.Act.strength() == 0 || a.Act.strength() < d.Weakest.strength() || a.At.Before(d.At) {
		return Acceptance{}, ErrAct
	}
	if a.Minor {
		guarded, err := t.GuardedTx(tx, a.Tenant, a.Account)
		if err != nil {
			return Acceptance{}, err
		}
		if !guarded || t.Guardians == nil || !t.Guardians(a.Tenant) {
			return Acceptance{}, ErrMinor
		}
	}
	id := storage.JoinID(a.Account, a.Document, a.Version)
	had, ok, err := acceptances.Get(tx, a.Tenant, id)
	if err != nil || ok {
		return had, err
	}
	first := storage.JoinID(a.Account, a.Document)
	if _, ok, err := firsts.Get(tx, a.Tenant, first); err != nil {
		return Acceptance{}, err
	} else if !ok {
		if err := firsts.Create(tx, a.Tenant, first, a); err != nil {
			return Acceptance{}, err
		}
	}
	return a, acceptances.Create(tx, a.Tenant, id, a)
}

// EverAcceptedTx reports whether an account accepted any version of a document:
// only then may its next use accept a new one (H01, H03). It fails with [ErrInvalid].
func (t *Terms) EverAcceptedTx(tx *storage.Tx, tenant, account, document string) (bool, error) {
	if !okID(tenant) || !okID(account) || !okID(document) {
		return false, fmt.Errorf("%w: acceptance", ErrInvalid)
	}
	_, ok, err := firsts.Get(tx, tenant, storage.JoinID(account, document))
	return ok, err
}

// Accept is [Terms.AcceptTx] in a commit of its own.
func (t *Terms) Accept(ctx context.Context, a Acceptance) (Acceptance, error) {
	return storage.UpdateValue(ctx, t.Store, func(tx *storage.Tx) (Acceptance, error) { return t.AcceptTx(ctx, tx, a) })
}

// AcceptedTx returns the acceptance of the version in force, or a
// [*NotAcceptedError]. A document never published asks for nothing: it returns
// the zero Acceptance.
func (t *Terms) AcceptedTx(tx *storage.Tx, tenant, account, document string) (Acceptance, error) {
	d, err := t.CurrentTx(tx, tenant, document)
	if errors.Is(err, ErrNotFound) {
		return Acceptance{}, nil
	}
	if err != nil {
		return Acceptance{}, err
	}
	if !okID(account) {
		return Acceptance{}, fmt.Errorf("%w: account", ErrInvalid)
	}
	a, ok, err := acceptances.Get(tx, tenant, storage.JoinID(account, document, d.Version))
	if err == nil && !ok {
		err = &NotAcceptedError{Document: d.ID, Version: d.Version, Weakest: d.Weakest}
	}
	return a, err
}

// UseTx is [Terms.AcceptedTx] for documents that use accepts: the first use
// after publication is recorded as acceptance (H03, P01). It fails as that does for
// documents that want a stronger act.
func (t *Terms) UseTx(ctx context.Context, tx *storage.Tx, tenant, account, document, client string) (Acceptance, error) {
	a, err := t.AcceptedTx(tx, tenant, account, document)
	var e *NotAcceptedError
	if errors.As(err, &e) && e.Weakest == ActUse {
		return t.AcceptTx(ctx, tx, Acceptance{Tenant: tenant, Account: account, Document: document, Version: e.Version,
			Act: ActUse, Client: client})
	}
	return a, err
}
