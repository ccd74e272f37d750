package membership

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Config makes a [Service].
type Config struct {
	// Store keeps orders and members. Required; esign.New fills it.
	Store storage.Store
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Catalogue is what is sold; nil runs unmetered: [Service.Check] answers
	// Free("unmetered") to everything and nothing can be bought.
	Catalogue *Catalogue
	// Ledger keeps the units. Required with a catalogue; esign.New fills it. It
	// must write to the same Store.
	Ledger *quota.Ledger
	// Terms knows the agreements and who accepted them. Required with a
	// catalogue; esign.New fills it.
	Terms *privacy.Terms
	// Documents are the agreements that must be accepted (H01); nil is
	// {"membership"}. One that was never published denies.
	Documents []string
	// Guard may refuse a purchase before there is an order (H22), for instance
	// one that looks automated; nil refuses none. It runs within the commit, so
	// it decides on what it knows and does no I/O.
	Guard func(PurchaseRequest) error
	// Fees are what payment methods keep of a payment, by the method's name on
	// the purchase; others keep nothing.
	Fees map[string]Fee
	// ApprovalsForAll lets accounts without a team membership send approvals (H39).
	ApprovalsForAll bool
	// MembersSignFree lets members who pay as signers of ordinary files pay
	// nothing; by default the free benefit is for files sent (D21).
	MembersSignFree bool
	// Person tells whether an account is a natural person's: nobody else can hold a
	// membership (H05). nil: all accounts are.
	Person func(tenant string, account quota.AccountID) bool
	// StackTerms adds up the terms of accounts that are linked: those of the second
	// follow those of the first. By default each runs as bought, and the person
	// has the union (H29).
	StackTerms bool
	// RefundUntil returns the end of the window in which an unused purchase may
	// be returned; nil is [quota.SevenDays].
	RefundUntil func(paid time.Time) time.Time
	// Observer is told of decisions and their reasons; nil: nothing is measured.
	Observer storage.Observer
}

// A Service sells memberships and packages and decides what is free. It holds no
// state: any number of processes may run one over the same store.
type Service struct {
	cfg Config
}

// New returns a service. It fails with [ErrRequest] if Store is missing, a
// catalogue is malformed, or Ledger or Terms is missing beside a catalogue.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil {
		return nil, badRequest("store", "required")
	}
	if cfg.Catalogue != nil {
		if cfg.Ledger == nil || cfg.Terms == nil {
			return nil, badRequest("config", "a catalogue needs a ledger and terms")
		}
		if err := cfg.Catalogue.check(); err != nil {
			return nil, err
		}
		cfg.Catalogue = copyCatalogue(cfg.Catalogue)
	}
	if cfg.Documents == nil {
		cfg.Documents = []string{"membership"}
	}
	cfg.Documents = slices.Clone(cfg.Documents)
	cfg.Fees = maps.Clone(cfg.Fees)
	for _, f := range cfg.Fees {
		if f.Bps < 0 || f.Bps > bps {
			return nil, badRequest("fees", "out of range")
		}
	}
	if cfg.RefundUntil == nil {
		cfg.RefundUntil = quota.SevenDays
	}
	return &Service{cfg: cfg}, nil
}

// update runs a Tx form on its own.
func update[Q, A any](ctx context.Context, s *Service, req Q, do func(context.Context, *storage.Tx, Q) (A, error)) (A, error) {
	return storage.UpdateValue(ctx, s.cfg.Store, func(tx *storage.Tx) (A, error) { return do(ctx, tx, req) })
}

// view runs a read on its own.
func view[Q, A any](ctx context.Context, s *Service, req Q, do func(context.Context, *storage.Tx, Q) (A, error)) (A, error) {
	return storage.ViewValue(ctx, s.cfg.Store, func(tx *storage.Tx) (A, error) { return do(ctx, tx, req) })
}

// ops keeps the answers of calls that have an id of their own.
var ops = storage.Kind[struct{}]{Name: "mem.op", Schema: 1}

func once[A any](tx *storage.Tx, tenant, id, op string, req any, do func() (A, error)) (A, error) {
	return storage.Once(tx, ops.Key(tenant, id), intent(op, req), do)
}

func intent(op string, req any) [32]byte {
	return storage.Intent(struct {
		Op  string `json:"op"`
		Req any    `json:"req"`
	}{op, req})
}

const (
	maxID   = 64  // bytes of an id
	maxText = 256 // bytes of a reason, method or note
)

func checkID(field, id string) error {
	switch {
	case id == "":
		return badRequest(field, "required")
	case len(id) > maxID:
		return badRequest(field, "longer than 64 bytes")
	case !utf8.ValidString(id) || strings.IndexByte(id, 0) >= 0:
		return badRequest(field, "not UTF-8, or with NUL")
	}
	return nil
}

// checkOrder checks an order's id, of which the ids of its lots are made.
func checkOrder(tenant, id string) error {
	if strings.ContainsAny(id, "/~") {
		return badRequest("order", "holds a slash or a tilde")
	}
	return checkIDs(tenant, id)
}

func checkIDs(tenant string, ids ...string) error {
	if err := checkID("tenant", tenant); err != nil {
		return err
	}
	if tenant == storage.Deployment {
		return badRequest("tenant", "reserved")
	}
	for _, id := range ids {
		if err := checkID("id", id); err != nil {
			return err
		}
	}
	return nil
}

func checkText(field, s string) error {
	if len(s) > maxText || !utf8.ValidString(s) {
		return badRequest(field, "longer than 256 bytes, or not UTF-8")
	}
	return nil
}
