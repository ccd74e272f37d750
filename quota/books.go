package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/countersign/countersign/storage"
)

// opened is an account opened in a transaction.
type opened struct {
	journal
	tenant string
	fresh  bool // the record does not exist yet
	booked bool // it has to be saved

	form func(i int, b []byte) []byte // of entries, as they are stored
}

var openeds = sync.Pool{New: func() any { return new(opened) }}

// free gives the memory back of an account that was saved and is not used any more.
func (o *opened) free() {
	clear(o.entries)
	*o = opened{journal: journal{entries: o.entries[:0]}, form: o.form}
	openeds.Put(o)
}

// errNoAccount says that an account has no record, so no lot either.
var errNoAccount = errors.New("quota: no such account")

const maxAliases = 16

// open opens an account, following the alias of a merged one; with create an
// absent account is started.
func (l *Ledger) open(tx *storage.Tx, tenant string, id AccountID, create bool) (*opened, error) {
	for range maxAliases {
		o, err := l.openExact(tx, tenant, id, create)
		if err != nil || o.MergedInto == "" {
			return o, err
		}
		id = o.MergedInto
	}
	return nil, fmt.Errorf("%w: quota: merged accounts form a chain too long", storage.ErrCorrupt)
}

// openExact opens an account itself, even if it is merged.
func (l *Ledger) openExact(tx *storage.Tx, tenant string, id AccountID, create bool) (*opened, error) {
	h, err := heads.own(tx, tenant, string(id))
	if err != nil {
		return nil, err
	}
	fresh := h == nil
	if fresh {
		if !create {
			return nil, errNoAccount
		}
		h = new(head)
	}
	h.Account = id
	o := openeds.Get().(*opened)
	o.tenant, o.fresh = tenant, fresh
	return o, o.open(h, tx.Now(l.cfg.Now), l.cfg.OnExpired)
}

// books are the accounts that the operations of one commit have open.
//
// Operations that come together in one call, shared, find an account as the one
// before left it: it is read and written back once, however many there are. For
// this an operation is refused before it changes anything, or must not take part:
// errApart.
type books struct {
	l       *Ledger
	tx      *storage.Tx
	shared  bool
	left    int  // operations to come, this one included
	changed bool // by the operation under way
	list    []*opened
	index   map[accountKey]*opened // of list, once it is long
	few     [1]*opened

	rec     holdRecord // of a hold being made
	scratch [256]byte

	// What answers are made of.
	lines   slab[Line]
	slices  slab[Slice]
	settled slab[SettledLine]
}

// reset begins, with memory used before.
func (b *books) reset(l *Ledger, tx *storage.Tx) {
	b.l, b.tx, b.shared, b.left, b.changed = l, tx, false, 1, false
	b.few, b.index = [1]*opened{}, nil
	b.list = b.few[:0]
}

type accountKey struct {
	tenant string
	id     AccountID
}

// fewBooks is how many accounts are found without an index.
const fewBooks = 8

// errApart says that operations cannot share their accounts: each of them has to
// open and save its own, so that what a refused one changed can be taken back.
var errApart = errors.New("quota: operations have to be done one by one")

// find returns an account that is open.
func (b *books) find(tenant string, id AccountID) *opened {
	if b.index != nil {
		return b.index[accountKey{tenant, id}]
	}
	for _, o := range b.list {
		if o.Account == id && o.tenant == tenant {
			return o
		}
	}
	return nil
}

// exact opens an account that exists, or finds it open.
func (b *books) exact(tenant string, id AccountID) (*opened, error) {
	if o := b.find(tenant, id); o != nil {
		o.finish()
		return o, nil
	}
	o, err := b.l.openExact(b.tx, tenant, id, false)
	if err != nil {
		return nil, err
	}
	if b.shared && o.MergedInto != "" {
		return nil, errApart // its units go on to another account, in the same commit
	}
	b.list = append(b.list, o)
	if b.index == nil && len(b.list) > fewBooks {
		b.index = make(map[accountKey]*opened)
		for _, o := range b.list {
			b.index[accountKey{o.tenant, o.Account}] = o
		}
	} else if b.index != nil {
		b.index[accountKey{tenant, id}] = o
	}
	return o, nil
}

// open is exact, following the alias of a merged account.
func (b *books) open(tenant string, id AccountID) (*opened, error) {
	for range maxAliases {
		o, err := b.exact(tenant, id)
		if err != nil || o.MergedInto == "" {
			return o, err
		}
		id = o.MergedInto
	}
	return nil, fmt.Errorf("%w: quota: merged accounts form a chain too long", storage.ErrCorrupt)
}

// close saves the accounts that were booked on, which must not be any more.
func (b *books) close() error {
	for _, o := range b.list {
		if !o.booked {
			continue
		}
		if err := b.l.save(b.tx, o); err != nil {
			return err
		}
		o.booked = false
	}
	return nil
}

// free gives memory back: the accounts were kept, and are not used any more.
func (b *books) free() {
	for _, o := range b.list {
		o.free()
	}
	b.list, b.index = nil, nil
}

// alone runs one operation, in a commit of the caller's.
func alone[Q, A any](l *Ledger, tx *storage.Tx, req *Q, do func(*books, *Q) (A, error)) (A, error) {
	var b books
	b.reset(l, tx)
	answer, err := do(&b, req)
	if err == nil {
		err = b.close()
	}
	if err != nil {
		return *new(A), err
	}
	b.free()
	return answer, nil
}

// settleRecords brings the records of lots that came or went up to date.
func (l *Ledger) settleRecords(tx *storage.Tx, o *opened) error {
	o.finish()
	// A commit has room for so many records; the rest of the finished lots stay
	// in the head for the next one, where every read takes them as gone.
	for len(o.gone) > maxFinished {
		o.insert(o.gone[len(o.gone)-1])
		o.gone = o.gone[:len(o.gone)-1]
	}
	for _, lot := range o.born {
		if err := lots.Create(tx, o.tenant, string(lot.ID), lotRecord{Account: o.Account, Lot: lot}); err != nil {
			return err
		}
	}
	o.born = nil
	for _, lot := range o.gone {
		r, ok, err := lots.Get(tx, o.tenant, string(lot.ID))
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: quota: record of a lot is missing", storage.ErrCorrupt)
		}
		r.End, r.Ended = &lot, o.at
		if err := lots.Put(tx, o.tenant, string(lot.ID), r); err != nil {
			return err
		}
	}
	return nil
}

// save writes an account back: lots that came or went, the journal, the head. The
// account must not be booked on afterwards, but opened again.
func (l *Ledger) save(tx *storage.Tx, o *opened) error {
	if o.MergedInto != "" {
		o.finish() // what is left of a lot here is not the lot, which lives on elsewhere
	} else if err := l.settleRecords(tx, o); err != nil {
		return err
	}
	if err := l.alert(tx, o); err != nil {
		return err
	}
	if err := l.log(tx, o); err != nil {
		return err
	}
	before := o.Seq - uint64(len(o.entries))
	for k := before/checkpointEntries + 1; k <= o.Seq/checkpointEntries; k++ {
		if err := checkpoints.create(tx, o.tenant, checkpointID(o.Account, k), o.head); err != nil {
			return err
		}
	}
	o.quiet = l.cfg.NoAlerts
	return heads.keep(tx, o.tenant, string(o.Account), o.head)
}

// log appends the new entries to the journal.
func (l *Ledger) log(tx *storage.Tx, o *opened) error {
	if len(o.entries) == 0 {
		return nil
	}
	if o.form == nil {
		o.form = func(i int, b []byte) []byte { return appendEntry(b, &o.entries[i]) }
	}
	seq, err := tx.AppendForms(heads.Key(o.tenant, string(o.Account)), len(o.entries), o.form)
	if err == nil && seq != o.Seq {
		err = fmt.Errorf("%w: quota: journal has %d entries, head says %d", storage.ErrCorrupt, seq, o.Seq)
	}
	return err
}

// many runs independent operations in one commit: on shared books, or, if they
// have to be done apart, each on its own.
func many[Q, A any](ctx context.Context, l *Ledger, reqs []Q, near func(*Q) [2]storage.Key, do func(*books, *Q) (A, error)) (answers []A, errs []error, err error) {
	var b books
	ahead := reqs
	if !storage.ReadsAhead(l.cfg.Store) {
		ahead = reqs[:min(1, len(reqs))]
	}
	err = storage.UpdateWith(ctx, l.cfg.Store, around(ahead, near), func(tx *storage.Tx) error {
		answers, errs = make([]A, len(reqs)), make([]error, len(reqs))
		err := tx.Sub(func() error {
			b.reset(l, tx)
			b.shared = true
			for i := range reqs {
				b.changed, b.left = false, len(reqs)-i
				answers[i], errs[i] = do(&b, &reqs[i])
				switch {
				case errs[i] == nil:
				case Code(errs[i]) == "":
					return errs[i] // not a refusal: the store failed
				case b.changed:
					return errApart
				}
			}
			return b.close()
		})
		if err != errApart {
			return err
		}
		for i := range reqs {
			errs[i] = tx.Sub(func() (err error) {
				answers[i], err = alone(l, tx, &reqs[i], do)
				return err
			})
			if errs[i] != nil && Code(errs[i]) == "" {
				return errs[i]
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	b.free()
	for i := range answers {
		if l.cfg.Observer != nil {
			l.measure(answers[i], errs[i])
		}
	}
	return answers, errs, nil
}

// around are the keys that requests will read and create, if they are good and
// not too many: a group then reads them together.
func around[Q any](reqs []Q, near func(*Q) [2]storage.Key) *storage.UpdateOptions {
	if len(reqs) > storage.MaxKeys {
		return nil
	}
	keys := make([]storage.Key, 2*len(reqs))
	opts := &storage.UpdateOptions{Near: keys[:0:len(reqs)], Create: keys[len(reqs):len(reqs)]}
	for i := range reqs {
		pair := near(&reqs[i])
		if i == 0 || pair[0] != opts.Near[len(opts.Near)-1] {
			opts.Near = append(opts.Near, pair[0])
		}
		opts.Create = append(opts.Create, pair[1])
	}
	if storage.CheckKeys(opts.Near...) != nil || storage.CheckKeys(opts.Create...) != nil {
		return nil // some will be refused
	}
	return opts
}
