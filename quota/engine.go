package quota

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// head is an account as stored: the live lots and what derives from the
// journal. Lots lie in burn order.
type head struct {
	Account    AccountID `json:"account"`
	Seq        uint64    `json:"seq"`  // entries of the journal
	Last       time.Time `json:"last"` // Recorded of the newest entry, and the floor of the next
	Lots       []Lot     `json:"lots,omitempty"`
	Usage      []dayUse  `json:"usage,omitempty"`
	Marks      []mark    `json:"marks,omitempty"`
	Suspended  string    `json:"suspended,omitempty"`
	MergedInto AccountID `json:"merged_into,omitempty"`

	quiet bool // no alerts: they give no due instant
}

// dayUse is what an account held on one day of Asia/Shanghai, net of returns.
type dayUse struct {
	Day   int64 `json:"day"`
	Unit  Unit  `json:"unit"`
	Units Units `json:"units"`
}

// usageDays is how long daily use is kept for the forecast.
const usageDays = 28

func (h *head) lot(id LotID) *Lot {
	for i := range h.Lots {
		if h.Lots[i].ID == id {
			return &h.Lots[i]
		}
	}
	return nil
}

// insert puts a lot in its place in burn order and returns it.
func (h *head) insert(l Lot) *Lot {
	i, _ := slices.BinarySearchFunc(h.Lots, l, func(a, b Lot) int { return burn(&a, &b) })
	h.Lots = slices.Insert(h.Lots, i, l)
	return &h.Lots[i]
}

// due is the next instant at which anything of the account changes by itself.
func (h *head) due() time.Time {
	var due time.Time
	soonest := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	for i := range h.Lots {
		l := &h.Lots[i]
		if l.available() > 0 {
			soonest(l.Until)
			if t, ok := h.nextWarning(l); ok && !h.quiet {
				soonest(t)
			}
		}
		if len(l.Lapse) > 0 {
			soonest(l.Lapse[0].At)
		}
	}
	return due
}

// clone is a copy deep enough to book on: marks are replaced, never changed, and
// a journal copies the usage before it changes it.
func (h head) clone() head { return *h.own() }

// own is clone, in one piece of memory where one lot is all, as it mostly is:
// every call makes one.
func (h *head) own() *head {
	var out *head
	var lots []Lot
	if len(h.Lots) == 1 {
		both := new(struct {
			head head
			lot  [1]Lot
		})
		out, lots = &both.head, both.lot[:0]
	} else {
		out, lots = new(head), make([]Lot, 0, len(h.Lots))
	}
	*out = *h
	out.Lots = append(lots, h.Lots...)
	for i := range out.Lots {
		if p := out.Lots[i].Lapse; len(p) > 0 {
			out.Lots[i].Lapse = slices.Clone(p)
		}
	}
	return out
}

// onExpired is the type of [Config].OnExpired.
type onExpired = func(ended Lot, live []Lot, at time.Time) time.Time

// A journal is an account opened at one instant: everything due by then is
// booked, and operations add to it. It is pure: no store, no clock.
type journal struct {
	*head
	at      time.Time // the operation's instant: never before Last
	expired onExpired
	entries []Entry
	gone    []Lot // finished lots, taken from the head
	born    []Lot // lots the engine made itself
	usage   bool  // Usage is not shared
}

// open opens an account at now: the operation's instant is the later of now and
// the last booking, and what fell due in between is booked first, by instant.
func (j *journal) open(h *head, now time.Time, rule onExpired) error {
	now = instant(now)
	if h.Last.Sub(now) > clockTolerance {
		return ErrClock
	}
	*j = journal{head: h, at: now, expired: rule, entries: j.entries[:0]}
	if h.Last.After(now) {
		j.at = h.Last
	}
	if err := j.advance(); err != nil {
		return err
	}
	// Lots that ended are gone now, whether or not a sweep booked it before.
	j.finish()
	return nil
}

// advance books what is due by the operation's instant: lapses of timed holds
// and ends of lots, in the order of their instants, lapses first.
func (j *journal) advance() error {
	for {
		i, lapse, at := j.nextDue()
		if i < 0 {
			return nil
		}
		l := &j.Lots[i]
		if !lapse {
			n := l.available()
			if err := j.post(l, &Entry{Kind: EntryExpire, Effective: at, Units: n, Debit: BookAvailable, Credit: BookExpired}); err != nil {
				return err
			}
			continue
		}
		n, instant := l.Lapse[0].Units, l.Lapse[0].At
		l.Lapse = slices.Delete(l.Lapse, 0, 1)
		j.use(l.Unit, dayOf(at), -n)
		if err := j.post(l, &Entry{Kind: EntryLapse, Effective: at, Expires: instant, Units: n, Debit: BookHeld, Credit: BookAvailable}); err != nil {
			return err
		}
		if _, err := j.returned(l, n, at, "", ""); err != nil {
			return err
		}
	}
}

// nextDue finds the earliest thing due, -1 if there is none.
func (j *journal) nextDue() (lot int, lapse bool, at time.Time) {
	lot = -1
	for i := range j.Lots {
		l := &j.Lots[i]
		if len(l.Lapse) > 0 && !l.Lapse[0].At.After(j.at) {
			if t := l.Lapse[0].At; lot < 0 || t.Before(at) || t.Equal(at) && !lapse {
				lot, lapse, at = i, true, t
			}
		}
		if !l.Until.After(j.at) && l.available() > 0 {
			if t := l.Until; lot < 0 || t.Before(at) {
				lot, lapse, at = i, false, t
			}
		}
	}
	return lot, lapse, at
}

// returned deals with units that have just come back to a lot: those of a
// refunded lot are clawed, those of an ended one expire or live on by rule
// (D04). It reports whether they can be spent again from this lot.
func (j *journal) returned(l *Lot, n Units, at time.Time, hold HoldID, slot SlotID) (kept bool, err error) {
	if n == 0 {
		return true, nil
	}
	if l.Clawing {
		return false, j.post(l, &Entry{Kind: EntryClaw, Effective: at, Hold: hold, Slot: slot, Units: n, Debit: BookAvailable, Credit: BookClawed})
	}
	if at.Before(l.Until) {
		return true, nil
	}
	until := instant(j.expired(*l, slices.Clone(j.Lots), at))
	if err := j.post(l, &Entry{Kind: EntryExpire, Effective: at, Hold: hold, Slot: slot, Units: n, Debit: BookAvailable, Credit: BookExpired}); err != nil {
		return false, err
	}
	if !until.After(at) {
		return false, nil
	}
	return false, j.grant(Lot{
		ID: heir(l.ID, j.Seq), Unit: l.Unit, Scope: l.Scope, Priority: l.Priority, Source: Returned,
		From: at, Until: until, Order: l.Order, FirstUse: l.FirstUse, Credited: at,
	}, n, at, "", "returned after expiry")
}

// heir names a lot that the engine makes out of another. Callers may not use
// the tilde, so it cannot collide.
func heir(id LotID, seq uint64) LotID {
	for i := range id {
		if id[i] == '~' {
			id = id[:i]
			break
		}
	}
	return LotID(fmt.Sprintf("%s~%d", id, seq))
}

// grant adds a lot and its units.
func (j *journal) grant(l Lot, n Units, at time.Time, actor, reason string) error {
	if len(j.Lots) >= maxLots {
		return ErrTooManyLots
	}
	p := j.insert(l)
	err := j.post(p, &Entry{Kind: EntryGrant, Effective: at, Units: n, Debit: BookIssue, Credit: BookAvailable, Actor: actor, Reason: reason})
	if err != nil {
		return err
	}
	j.begin(p)
	j.born = append(j.born, *p)
	return nil
}

// begin makes the newest entry carry the lot as it stands, for replay.
func (j *journal) begin(l *Lot) {
	state := *l
	state.Lapse = slices.Clone(l.Lapse)
	j.entries[len(j.entries)-1].State = &state
}

// post moves units of a lot from one book to another and notes the entry.
func (j *journal) post(l *Lot, e *Entry) error {
	if err := move(l, e.Debit, e.Credit, e.Units); err != nil {
		return err
	}
	if l != nil {
		e.Lot = l.ID
	}
	if e.Effective.IsZero() {
		e.Effective = j.at
	}
	j.Seq++
	j.Last = j.at
	e.Seq, e.Recorded = j.Seq, j.at
	j.entries = append(j.entries, *e)
	return nil
}

// move changes a lot's counters as an entry says. It is the only code that
// does, for live operations and for replay alike, so the invariants of a lot
// are checked here: no counter below zero, none beyond what was granted (I1).
func move(l *Lot, from, to Book, n Units) error {
	if from == "" && to == "" && n == 0 {
		return nil
	}
	if l == nil || n < 0 {
		return fmt.Errorf("%w: quota: entry of %d units without a lot", storage.ErrCorrupt, n)
	}
	for _, side := range [2]struct {
		book Book
		n    Units
	}{{from, -n}, {to, n}} {
		switch side.book {
		case BookHeld:
			l.Held += side.n
		case BookUsed:
			l.Used += side.n
		case BookExpired:
			l.Expired += side.n
		case BookClawed:
			l.Clawed += side.n
		case BookIssue, BookTransit:
			if sum := l.Granted - side.n; side.n < 0 && sum < l.Granted {
				return overflow("lot")
			}
			l.Granted -= side.n
		case BookAvailable: // the rest: follows from the others
		default:
			return fmt.Errorf("%w: quota: unknown book %q", storage.ErrCorrupt, side.book)
		}
	}
	if l.Granted < 0 || l.Held < 0 || l.Used < 0 || l.Expired < 0 || l.Clawed < 0 || l.available() < 0 {
		return fmt.Errorf("%w: quota: a counter of a lot fell below zero", storage.ErrCorrupt)
	}
	return nil
}

// finish takes finished lots out of the head: nothing is available or held,
// and no refund is under way.
func (j *journal) finish() {
	finished := func(l *Lot) bool { return l.Held == 0 && !l.Frozen && l.available() == 0 }
	any := false
	for i := range j.Lots {
		any = any || finished(&j.Lots[i])
	}
	if !any {
		return
	}
	j.Lots = slices.DeleteFunc(j.Lots, func(l Lot) bool {
		if finished(&l) {
			j.gone = append(j.gone, l)
			return true
		}
		return false
	})
}

// ask is a line to be paid for.
type ask struct {
	kind  ChargeKind
	unit  Unit
	units Units
}

// serve gives lines the slices that plan would, appended to out, or reports false
// if units are missing: then plan says which.
func (j *journal) serve(lines []Line, out []Slice) ([]Slice, bool) {
	var few [16]Units
	free := few[:0]
	for i := range j.Lots {
		free = append(free, j.Lots[i].spendable(j.at))
	}
	for i := range lines {
		line := &lines[i]
		left, start := line.Units, len(out)
		for k := range j.Lots {
			if left == 0 {
				break
			}
			if l := &j.Lots[k]; free[k] != 0 && l.Unit == line.Unit && l.pays(line.Kind) {
				n := min(left, free[k])
				free[k] -= n
				left -= n
				out = append(out, Slice{Lot: l.ID, Units: n})
			}
		}
		if left > 0 {
			return out, false
		}
		if line.From = nil; len(out) > start {
			line.From = out[start:len(out):len(out)]
		}
	}
	return out, true
}

// plan finds the lots for some lines, in burn order, without taking anything.
// Lines are served in their order; what is missing is summed per unit and kind.
func (j *journal) plan(asks []ask) ([][]Slice, error) {
	var few [16]Units
	free := few[:0]
	for i := range j.Lots {
		free = append(free, j.Lots[i].spendable(j.at))
	}
	out := make([][]Slice, len(asks))
	var short []Shortfall
	missing := false
	for i, a := range asks {
		left := a.units
		var expiry time.Time
		for k := range j.Lots {
			l := &j.Lots[k]
			if left == 0 {
				break
			}
			if free[k] == 0 || l.Unit != a.unit || !l.pays(a.kind) {
				continue
			}
			n := min(left, free[k])
			free[k] -= n
			left -= n
			out[i] = append(out[i], Slice{Lot: l.ID, Units: n})
			if expiry.IsZero() || l.Until.Before(expiry) {
				expiry = l.Until
			}
		}
		missing = missing || left > 0
		if a.units > 0 {
			var err error
			if short, err = tally(short, a, left, expiry); err != nil {
				return nil, err
			}
		}
	}
	if !missing {
		return out, nil
	}
	short = slices.DeleteFunc(short, func(s Shortfall) bool { return s.Have == s.Need })
	return nil, &InsufficientError{Shortfalls: short}
}

func tally(short []Shortfall, a ask, left Units, expiry time.Time) ([]Shortfall, error) {
	i := slices.IndexFunc(short, func(s Shortfall) bool { return s.Unit == a.unit && s.Kind == a.kind })
	if i < 0 {
		i = len(short)
		short = append(short, Shortfall{Unit: a.unit, Kind: a.kind})
	}
	s := &short[i]
	if s.Need += a.units; s.Need < 0 {
		return nil, overflow("units of a request")
	}
	s.Have += a.units - left
	if !expiry.IsZero() && (s.NextExpiry.IsZero() || expiry.Before(s.NextExpiry)) {
		s.NextExpiry = expiry
	}
	return short, nil
}

// hold takes a planned slice and notes when it lapses, if it does.
func (j *journal) hold(s *Slice, hold HoldID, slot SlotID, expires time.Time, actor string) error {
	l := j.lot(s.Lot)
	if l.FirstUse.IsZero() {
		l.FirstUse = j.at
	}
	if !expires.IsZero() {
		addLapse(l, expires, s.Units)
	}
	j.use(l.Unit, dayOf(j.at), s.Units)
	err := j.post(l, &Entry{Kind: EntryHold, Hold: hold, Slot: slot, Expires: expires, Units: s.Units, Debit: BookAvailable, Credit: BookHeld, Actor: actor})
	s.Entry = j.Seq
	return err
}

// spend moves a held slice to used; kind says whether by signature or by rule.
func (j *journal) spend(kind EntryKind, s Slice, hold HoldID, slot SlotID, expires time.Time, actor, reason string) error {
	l, err := j.held(s, expires)
	if err != nil {
		return err
	}
	return j.post(l, &Entry{Kind: kind, Hold: hold, Slot: slot, Expires: expires, Units: s.Units, Debit: BookHeld, Credit: BookUsed, Reverses: s.Entry, Actor: actor, Reason: reason})
}

// release gives a held slice back to its lot.
func (j *journal) release(s Slice, hold HoldID, slot SlotID, line Line, expires time.Time, actor, reason string) (Return, error) {
	l, err := j.held(s, expires)
	if err != nil {
		return Return{}, err
	}
	j.use(l.Unit, dayOf(line.Held), -s.Units)
	err = j.post(l, &Entry{Kind: EntryRelease, Hold: hold, Slot: slot, Expires: expires, Units: s.Units, Debit: BookHeld, Credit: BookAvailable, Reverses: s.Entry, Actor: actor, Reason: reason})
	if err != nil {
		return Return{}, err
	}
	r := Return{Lot: l.ID, Units: s.Units, Until: l.Until}
	kept, err := j.returned(l, s.Units, j.at, hold, slot)
	r.Gone = !kept
	return r, err
}

// held finds the lot of a held slice and takes the slice off its lapses.
func (j *journal) held(s Slice, expires time.Time) (*Lot, error) {
	l := j.lot(s.Lot)
	if l == nil {
		return nil, fmt.Errorf("%w: quota: lot of a held line is missing", storage.ErrCorrupt)
	}
	if !expires.IsZero() {
		addLapse(l, expires, -s.Units)
	}
	return l, nil
}

// addLapse adds to the units of a lot that come back at an instant.
func addLapse(l *Lot, at time.Time, n Units) {
	i, found := slices.BinarySearchFunc(l.Lapse, at, func(p Lapse, t time.Time) int { return p.At.Compare(t) })
	if !found {
		l.Lapse = slices.Insert(l.Lapse, i, Lapse{At: at})
	}
	if l.Lapse[i].Units += n; l.Lapse[i].Units == 0 {
		l.Lapse = slices.Delete(l.Lapse, i, i+1)
	}
}

// use notes daily use and forgets days that the forecast no longer reads.
func (j *journal) use(unit Unit, day int64, n Units) {
	oldest := dayOf(j.at) - usageDays
	if !j.usage {
		j.usage, j.Usage = true, slices.Clone(j.Usage)
	}
	j.Usage = slices.DeleteFunc(j.Usage, func(d dayUse) bool { return d.Day < oldest })
	if day < oldest || n == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(j.Usage, dayUse{Day: day, Unit: unit}, func(a, b dayUse) int {
		if c := cmp.Compare(a.Day, b.Day); c != 0 {
			return c
		}
		return cmp.Compare(a.Unit, b.Unit)
	})
	if !found {
		j.Usage = slices.Insert(j.Usage, i, dayUse{Day: day, Unit: unit})
	}
	j.Usage[i].Units += n
}

// expiry rounds the end of a timed hold up, so that an account has few distinct
// instants: to a minute within an hour, an hour within two days, else a day.
func expiry(at time.Time, ttl time.Duration) time.Time {
	step := 24 * time.Hour
	switch {
	case ttl <= time.Hour:
		step = time.Minute
	case ttl <= 48*time.Hour:
		step = time.Hour
	}
	end := at.Add(ttl)
	if cut := end.Truncate(step); cut.Before(end) {
		end = cut.Add(step)
	}
	return end
}
