package quota

import (
	"context"
	"crypto/sha256"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/storage"
)

// Config makes a [Ledger]. All policies have defaults that encode the agreements.
type Config struct {
	// Store keeps accounts, lots, holds and journals. Required.
	Store storage.Store
	// Now is the clock; nil is [time.Now].
	Now func() time.Time
	// Rates is the tariff; nil is [DefaultRates].
	Rates Rates
	// Channels declares further channels: true if a signer invited through it
	// gets units back as with WeChat, false if they stay gone as with SMS (D02).
	// [WeChat] and [SMS] are known and cannot be declared otherwise.
	Channels map[Channel]bool
	// RemindersReturn switches off that a reminder through a channel such as
	// SMS makes a line sticky, as the invitation does (D24).
	RemindersReturn bool
	// Settle decides what becomes of the units of a line that ends unsigned;
	// nil is [DefaultSettle].
	Settle func(Line, Cause) Verdict
	// OnExpired decides what becomes of units returned to a lot that has ended.
	// It gets that lot, the account's live lots and the instant, and returns
	// until when a new lot keeps the units, zero to let them expire. nil is
	// [ExpireAtOnce]; see [Grace] and [CreditCurrent].
	OnExpired func(ended Lot, live []Lot, at time.Time) time.Time
	// RefundUntil returns the end of the window in which an unused purchase may
	// be returned; nil is [SevenDays], see [Hours168].
	RefundUntil func(credited time.Time) time.Time
	// RefundNet takes a lot as unused when nothing is held or used at the time,
	// although units were held before and came back (D11). False is strict, and so
	// is the rule for lots that were held before a merge moved them.
	RefundNet bool
	// Observer is told of refusals, units and sweeps; nil: nothing is measured.
	Observer storage.Observer
	// NoAlerts switches off the records that [Ledger.Alerts] lists.
	NoAlerts bool
}

// A Ledger keeps the units of accounts. It holds no state of its own: any
// number of processes may run one over the same store.
type Ledger struct {
	cfg Config
}

// New returns a ledger. It fails with [ErrRequest] if Store is missing, the
// rates do not rise, or [WeChat] or [SMS] is declared to be what it is not.
func New(cfg Config) (*Ledger, error) {
	if cfg.Store == nil {
		return nil, badRequest("store", "required")
	}
	if cfg.Rates == nil {
		cfg.Rates = DefaultRates()
	}
	cfg.Rates = copyRates(cfg.Rates)
	if err := cfg.Rates.check(); err != nil {
		return nil, err
	}
	channels := map[Channel]bool{WeChat: true, SMS: false}
	for c, back := range cfg.Channels {
		if known, ok := channels[c]; c == "" || ok && known != back {
			return nil, badRequest("channels", "a channel is declared against the agreement")
		}
	}
	maps.Copy(channels, cfg.Channels)
	cfg.Channels = channels
	if cfg.Settle == nil {
		cfg.Settle = DefaultSettle
	}
	if cfg.OnExpired == nil {
		cfg.OnExpired = ExpireAtOnce
	}
	if cfg.RefundUntil == nil {
		cfg.RefundUntil = SevenDays
	}
	return &Ledger{cfg: cfg}, nil
}

// The records of this package. The journal of an account is the stream of its head.
var (
	heads = pack(storage.Kind[head]{Name: "quota.acct", Schema: headSchema, Due: func(h head) time.Time { return h.due() }}, putHead, readHead, (*head).own, boundHead)
	holds = pack(storage.Kind[holdRecord]{Name: "quota.hold", Schema: holdSchema}, putHold, readHold, nil, nil)
	lots  = storage.Kind[lotRecord]{Name: "quota.lot", Schema: 1}
	// checkpoints are heads as they stood once the journal had passed k times 1024 entries.
	checkpoints = pack(storage.Kind[head]{Name: "quota.ckpt", Schema: headSchema}, putHead, readHead, nil, nil)
	ops         = storage.Kind[struct{}]{Name: "quota.op", Schema: 1} // kept by storage.Once, settlements in a compact form
)

// holdRecord is a hold and what repeats of the call that made it need.
type holdRecord struct {
	Hold
	Intent  digest    `json:"intent"`
	Opened  []Channel `json:"opened,omitempty"` // the channels of the lines of revision 1
	Charged bool      `json:"charged,omitempty"`

	// terms is the compact form of all that settling lines, or marking their
	// channels, leaves as it is; empty if it has to be made. Who changes anything
	// else empties it.
	terms string
}

// freeHold gives memory back, that of the lines included: nobody has them.
func freeHold(rec *holdRecord) {
	*rec = holdRecord{Hold: Hold{Lines: rec.Lines[:0]}, Opened: rec.Opened[:0]}
	holds.spare.Put(rec)
}

// lotRecord remembers a lot: who has it and, once it left the head of its
// account, how it ended.
type lotRecord struct {
	Account AccountID `json:"account"`
	Intent  string    `json:"intent,omitempty"` // empty: made by the engine
	Lot     Lot       `json:"lot"`              // as granted
	End     *Lot      `json:"end,omitempty"`    // as it left the account's head
	Ended   time.Time `json:"ended,omitzero"`
}

// update runs a Tx form on its own.
func update[Q, A any](ctx context.Context, l *Ledger, req Q, do func(context.Context, *storage.Tx, Q) (A, error)) (A, error) {
	var opts storage.UpdateOptions
	if r, ok := any(&req).(interface{ near() [2]storage.Key }); ok {
		keys := r.near()
		if storage.CheckKeys(keys[:]...) == nil { // else the request will be refused
			opts.Near, opts.Create = keys[:1], keys[1:]
		}
	}
	answer, err := storage.UpdateValueWith(ctx, l.cfg.Store, &opts, func(tx *storage.Tx) (A, error) { return do(ctx, tx, req) })
	if l.cfg.Observer != nil {
		l.measure(answer, err)
	}
	return answer, err
}

// tasks run requests that are made all the time, in memory that is used again.
type tasks[Q, A any] struct {
	near func(*Q) [2]storage.Key
	pool sync.Pool // of *task[Q, A]
}

// A task is one call.
type task[Q, A any] struct {
	books  books
	req    Q
	answer A
	near   [2]storage.Key
	opts   storage.UpdateOptions
	run    func(*storage.Tx) error
}

func newTasks[Q, A any](near func(*Q) [2]storage.Key, do func(*books, *Q) (A, error)) *tasks[Q, A] {
	return &tasks[Q, A]{near, sync.Pool{New: func() any {
		t := new(task[Q, A])
		t.run = func(tx *storage.Tx) (err error) {
			t.books.reset(t.books.l, tx)
			if t.answer, err = do(&t.books, &t.req); err == nil {
				err = t.books.close()
			}
			return err
		}
		return t
	}}}
}

// update is the function update.
func (p *tasks[Q, A]) update(ctx context.Context, l *Ledger, req Q) (A, error) {
	t := p.pool.Get().(*task[Q, A])
	t.books.l, t.req = l, req
	t.near = p.near(&t.req)
	t.opts.Near, t.opts.Create = t.near[:1], t.near[1:]
	if storage.CheckKeys(t.near[:]...) != nil {
		t.opts.Near, t.opts.Create = nil, nil // the request will be refused
	}
	err := storage.UpdateWith(ctx, l.cfg.Store, &t.opts, t.run)
	var zero A
	if l.cfg.Observer != nil {
		if err != nil {
			l.measure(nil, err)
		} else {
			l.measure(t.answer, nil)
		}
	}
	if err != nil {
		return zero, err // its run may not have ended
	}
	answer := t.answer
	t.books.free()
	t.books.reset(nil, nil)
	t.req, t.answer, t.near = *new(Q), zero, [2]storage.Key{}
	p.pool.Put(t)
	return answer, nil
}

// near is a key that a request will read first, so that requests about one account
// are committed together where the store groups, and one that it most likely
// creates.

func (r *ReserveRequest) near() [2]storage.Key {
	return [2]storage.Key{heads.Key(r.Tenant, string(r.Account)), holds.Key(r.Tenant, string(r.ID))}
}

func (r ChargeRequest) near() [2]storage.Key {
	return [2]storage.Key{heads.Key(r.Tenant, string(r.Account)), holds.Key(r.Tenant, string(r.ID))}
}

func (r *GrantRequest) near() [2]storage.Key {
	return [2]storage.Key{heads.Key(r.Tenant, string(r.Account)), lots.Key(r.Tenant, string(r.ID))}
}

func (r ClawRequest) near() [2]storage.Key {
	return [2]storage.Key{heads.Key(r.Tenant, string(r.Account)), ops.Key(r.Tenant, r.ID)}
}

func (r *CaptureRequest) near() [2]storage.Key {
	return [2]storage.Key{holds.Key(r.Tenant, string(r.Hold)), ops.Key(r.Tenant, r.ID)}
}

func (r *ReleaseRequest) near() [2]storage.Key {
	return [2]storage.Key{holds.Key(r.Tenant, string(r.Hold)), ops.Key(r.Tenant, r.ID)}
}

// view runs a read on its own.
func view[Q, A any](ctx context.Context, l *Ledger, req Q, do func(context.Context, *storage.Tx, Q) (A, error)) (A, error) {
	return storage.ViewValue(ctx, l.cfg.Store, func(tx *storage.Tx) (A, error) { return do(ctx, tx, req) })
}

// once answers an operation that is named by an id of its own. The intent
// covers the operation's name, so that one id serves one call only.
func once[A any](tx *storage.Tx, tenant, id, op string, req any, do func() (A, error)) (A, error) {
	return storage.Once(tx, ops.Key(tenant, id), intent(op, req), do)
}

// intent is what makes two calls the same: the operation and the request as given.
func intent(op string, req any) [32]byte {
	return storage.Intent(struct {
		Op  string `json:"op"`
		Req any    `json:"req"`
	}{op, req})
}

// intent is the intent of requests that are made all the time: they say themselves
// what they are made of, which takes a fraction of the time of their JSON.
func (b *books) intent(op string, req interface{ canon([]byte) []byte }) [32]byte {
	return sha256.Sum256(req.canon(putText(b.scratch[:0], op)))
}

// A field that is added to one of these requests is written at the end, and only
// if it is set, so that stored intents still match.

func (r *ReserveRequest) canon(b []byte) []byte {
	b = putText(putText(putText(putText(b, r.Tenant), r.ID), r.Account), r.Ref)
	b = putUnum(b, uint64(len(r.Lines)))
	for i := range r.Lines {
		l := &r.Lines[i]
		b = putText(putText(putText(putText(b, l.Slot), l.Kind), l.Channel), l.Free)
		b = putNum(b, l.Quantity)
	}
	return putText(putNum(b, int64(r.TTL)), r.Actor)
}

func (r *CaptureRequest) canon(b []byte) []byte {
	b = putText(putText(putText(b, r.Tenant), r.ID), r.Hold)
	return putText(putTexts(b, r.Slots), r.Actor)
}

func (r *ReleaseRequest) canon(b []byte) []byte {
	b = putText(putText(putText(b, r.Tenant), r.ID), r.Hold)
	return putText(putText(putTexts(b, r.Slots), r.Cause), r.Actor)
}

const (
	maxPart = 64  // bytes of an id, or of each part of one with slashes
	maxID   = 200 // bytes of an id in all
	maxText = 256 // bytes of a reference, actor or reason
)

// checkID checks an id of a request.
func checkID[S ~string](field string, id S) error {
	if plainID(string(id)) {
		return nil
	}
	s := string(id)
	switch {
	case s == "":
		return badRequest(field, "required")
	case len(s) > maxID:
		return badRequest(field, "longer than 200 bytes")
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return badRequest(field, "not UTF-8, or with NUL")
	}
	for part := range strings.SplitSeq(s, "/") {
		if len(part) > maxPart {
			return badRequest(field, "longer than 64 bytes")
		}
	}
	return nil
}

// plainID is true of most good ids.
func plainID(s string) bool {
	if s == "" || len(s) > maxPart {
		return false
	}
	for i := range len(s) {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkAccount checks an account's id, which is one part.
func checkAccount(field string, id AccountID) error {
	if len(id) > maxPart {
		return badRequest(field, "longer than 64 bytes")
	}
	return checkID(field, id)
}

// checkIDs checks the ids that every operation has.
func checkIDs[S ~string](tenant string, id S) error {
	if err := checkTenant(tenant); err != nil {
		return err
	}
	return checkID("id", id)
}

func checkTenant(tenant string) error {
	if tenant == storage.Deployment {
		return badRequest("tenant", "reserved")
	}
	return checkID("tenant", tenant)
}

func checkText(field, s string) error {
	if len(s) > maxText || !utf8.ValidString(s) {
		return badRequest(field, "longer than 256 bytes, or not UTF-8")
	}
	return nil
}

func checkNote(actor, reason string) error {
	if err := checkText("actor", actor); err != nil {
		return err
	}
	return checkText("reason", reason)
}
