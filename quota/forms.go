package quota

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/countersign/countersign/storage"
)

// The fields of the compact forms, in their order.

func putLot(b []byte, l *Lot) []byte {
	b = putText(b, l.ID)
	b = putWord(b, l.Unit)
	b = putWords(b, l.Scope)
	b = putNum(b, int64(l.Priority))
	b = putWord(b, l.Source)
	b = putTime(b, l.From)
	b = putTime(b, l.Until)
	b = putText(b, l.Order)
	for _, n := range [...]Units{l.Granted, l.Held, l.Used, l.Expired, l.Clawed} {
		b = putNum(b, int64(n))
	}
	b = putBit(b, l.Frozen)
	b = putBit(b, l.Clawing)
	b = putText(b, l.Refund)
	b = putTime(b, l.FirstUse)
	b = putList(b, l.Lapse, func(b []byte, p *Lapse) []byte { return putNum(putTime(b, p.At), int64(p.Units)) })
	return putTime(b, l.Credited)
}

func getLot(r *reader, l *Lot) {
	l.ID, l.Unit = LotID(r.text()), Unit(r.word())
	l.Scope = getList(r, nil, getWord[ChargeKind])
	p := r.num()
	if p < math.MinInt16 || p > math.MaxInt16 {
		r.fail()
	}
	l.Priority, l.Source = int16(p), Source(r.word())
	l.From, l.Until, l.Order = r.time(), r.time(), r.text()
	for _, n := range [...]*Units{&l.Granted, &l.Held, &l.Used, &l.Expired, &l.Clawed} {
		*n = Units(r.num())
	}
	l.Frozen, l.Clawing, l.Refund, l.FirstUse = r.bit(), r.bit(), r.text(), r.time()
	l.Lapse = getList(r, nil, func(r *reader, p *Lapse) { p.At, p.Units = r.time(), Units(r.num()) })
	l.Credited = r.time()
}

// boundHead is no less than the bytes that putHead writes: ten for every number
// and every length.
func boundHead(h *head) int {
	n := 100 + len(h.Account) + len(h.Suspended) + len(h.MergedInto)
	for i := range h.Lots {
		l := &h.Lots[i]
		n += 200 + len(l.ID) + len(l.Unit) + len(l.Source) + len(l.Order) + len(l.Refund) + 20*len(l.Lapse)
		for _, s := range l.Scope {
			n += 10 + len(s)
		}
	}
	for i := range h.Usage {
		n += 30 + len(h.Usage[i].Unit)
	}
	for i := range h.Marks {
		n += 30 + len(h.Marks[i].Rule) + len(h.Marks[i].Unit) + len(h.Marks[i].Lot)
	}
	return n
}

func putHead(b []byte, h *head) []byte {
	b = putText(b, h.Account)
	b = putUnum(b, h.Seq)
	b = putTime(b, h.Last)
	b = putList(b, h.Lots, putLot)
	b = putList(b, h.Usage, func(b []byte, d *dayUse) []byte {
		return putNum(putWord(putNum(b, d.Day), d.Unit), int64(d.Units))
	})
	b = putList(b, h.Marks, func(b []byte, m *mark) []byte {
		return putText(putWord(putWord(b, m.Rule), m.Unit), m.Lot)
	})
	b = putText(b, h.Suspended)
	return putText(b, h.MergedInto)
}

const (
	headSchema = 1
	holdSchema = 1
)

func readHead(h *head, data string) error {
	r := &reader{b: data}
	r.schema(headSchema)
	h.Account, h.Seq, h.Last = AccountID(r.text()), r.unum(), r.time()
	h.Lots = getList(r, nil, getLot)
	h.Usage = getList(r, nil, func(r *reader, d *dayUse) { d.Day, d.Unit, d.Units = r.num(), Unit(r.word()), Units(r.num()) })
	h.Marks = getList(r, nil, func(r *reader, m *mark) { m.Rule, m.Unit, m.Lot = AlertRule(r.word()), Unit(r.word()), LotID(r.text()) })
	h.Suspended, h.MergedInto = r.text(), AccountID(r.text())
	return r.end()
}

// A hold is its terms, which settling it leaves as they are, and what became of it.
func putHold(b []byte, h *holdRecord) []byte {
	if h.terms != "" {
		b = append(b, h.terms...)
	} else {
		b = putTerms(b, h)
	}
	b = putUnum(b, h.Rev)
	for i := range h.Lines {
		b = putState(b, &h.Lines[i])
	}
	return b
}

func putTerms(b []byte, h *holdRecord) []byte {
	b = append(b, bit(h.Charged, 0)|bit(!h.Expires.IsZero(), 1))
	if !h.Expires.IsZero() {
		b = putTime(b, h.Expires)
	}
	b = putText(b, h.ID)
	b = putText(b, h.Account)
	b = putText(b, h.Ref)
	b = putNum(b, int64(h.Rates))
	b = append(b, h.Intent[:]...)
	b = putWords(b, h.Opened)
	b = putUnum(b, uint64(len(h.Lines)))
	for i := range h.Lines {
		b = putLine(b, &h.Lines[i])
	}
	return b
}

// readHold reads a hold into the memory of one that nobody uses any more.
func readHold(h *holdRecord, data string) error {
	r := &reader{b: data}
	r.schema(holdSchema)
	terms := r.at
	has := r.bits(2)
	h.Charged, h.Expires = has&1 != 0, time.Time{}
	if has&2 != 0 {
		h.Expires = r.time()
	}
	h.ID, h.Account, h.Ref, h.Rates = HoldID(r.text()), AccountID(r.text()), r.text(), int(r.num())
	copy(h.Intent[:], r.take(len(h.Intent)))
	h.Opened = sized(r, h.Opened, 1)
	for i := range h.Opened {
		h.Opened[i] = Channel(r.word())
	}
	h.Lines = sized(r, h.Lines, 15)
	for i := range h.Lines {
		getLine(r, &h.Lines[i])
	}
	h.terms = data[terms:r.at]
	h.Rev = r.unum()
	for i := range h.Lines {
		getState(r, &h.Lines[i])
	}
	return r.end()
}

// putLine appends what a line is, getLine reads it.
func putLine(b []byte, l *Line) []byte {
	b = append(b, bit(l.Free != "", 0)|bit(l.Account != "", 1))
	b = putText(b, l.Slot)
	b = putWord(b, l.Kind)
	b = putWord(b, l.Unit)
	b = putNum(b, int64(l.Units))
	if l.Free != "" {
		b = putText(b, l.Free)
	}
	if l.Account != "" {
		b = putText(b, l.Account)
	}
	b = putUnum(b, uint64(len(l.From)))
	for i := range l.From {
		s := &l.From[i]
		b = putUnum(putNum(putText(b, s.Lot), int64(s.Units)), s.Entry)
	}
	return putUnum(putTime(b, l.Held), l.Since)
}

func getLine(r *reader, l *Line) {
	has := r.bits(2)
	l.Slot, l.Kind, l.Unit, l.Units = SlotID(r.text()), ChargeKind(r.word()), Unit(r.word()), Units(r.num())
	l.Free, l.Account = "", ""
	if has&1 != 0 {
		l.Free = r.text()
	}
	if has&2 != 0 {
		l.Account = AccountID(r.text())
	}
	l.From = sized(r, l.From, 3)
	for i := range l.From {
		s := &l.From[i]
		s.Lot, s.Units, s.Entry = LotID(r.text()), Units(r.num()), r.unum()
	}
	l.Held, l.Since = r.time(), r.unum()
}

// putState appends what became of a line, getState reads it.
func putState(b []byte, l *Line) []byte {
	b = append(b, bit(l.Sticky, 0)|bit(!l.Settled.IsZero(), 1))
	b = putWord(b, l.State)
	b = putWord(b, l.Channel)
	b = putWord(b, l.Cause)
	if !l.Settled.IsZero() {
		b = putTime(b, l.Settled)
	}
	return b
}

func getState(r *reader, l *Line) {
	has := r.bits(2)
	l.Sticky, l.State, l.Channel, l.Cause = has&1 != 0, LineState(r.word()), Channel(r.word()), Cause(r.word())
	if l.Settled = (time.Time{}); has&2 != 0 {
		l.Settled = r.time()
	}
}

func putEntry(b []byte, e *Entry) []byte {
	later := e.Recorded != e.Effective
	b = append(b, bit(later, 0)|bit(e.Actor != "", 1)|bit(e.Reason != "", 2)|bit(e.Reverses != 0, 3)|
		bit(!e.Expires.IsZero(), 4)|bit(e.State != nil, 5))
	b = putUnum(b, e.Seq)
	b = putTime(b, e.Effective)
	b = putWord(b, e.Kind)
	b = putText(b, e.Lot)
	b = putText(b, e.Hold)
	b = putText(b, e.Slot)
	b = putWord(b, e.Debit)
	b = putWord(b, e.Credit)
	b = putNum(b, int64(e.Units))
	if later {
		b = putTime(b, e.Recorded)
	}
	if e.Actor != "" {
		b = putText(b, e.Actor)
	}
	if e.Reason != "" {
		b = putText(b, e.Reason)
	}
	if e.Reverses != 0 {
		b = putUnum(b, e.Reverses)
	}
	if !e.Expires.IsZero() {
		b = putTime(b, e.Expires)
	}
	if e.State != nil {
		b = putLot(b, e.State)
	}
	return b
}

func getEntry(r *reader, e *Entry) {
	has := r.bits(6)
	e.Seq, e.Effective = r.unum(), r.time()
	e.Kind, e.Lot, e.Hold, e.Slot = EntryKind(r.word()), LotID(r.text()), HoldID(r.text()), SlotID(r.text())
	e.Debit, e.Credit, e.Units = Book(r.word()), Book(r.word()), Units(r.num())
	if e.Recorded = e.Effective; has&1 != 0 {
		e.Recorded = r.time()
	}
	if has&2 != 0 {
		e.Actor = r.text()
	}
	if has&4 != 0 {
		e.Reason = r.text()
	}
	if has&8 != 0 {
		e.Reverses = r.unum()
	}
	if has&16 != 0 {
		e.Expires = r.time()
	}
	if has&32 != 0 {
		e.State = new(Lot)
		getLot(r, e.State)
	}
}

// entrySchema is the version of stored entries.
const entrySchema = 1

func encodeEntry(e *Entry) ([]byte, error) { return appendEntry(nil, e), nil }

func appendEntry(b []byte, e *Entry) []byte {
	return putEntry(append(b, wireMark, entrySchema), e)
}

// entryFrame is an entry as JSON.
type entryFrame struct {
	Schema int   `json:"v"`
	Data   Entry `json:"d"`
}

func decodeEntry(data []byte) (Entry, error) {
	if len(data) > 0 && data[0] == wireMark {
		var e Entry
		r := reader{b: string(data[1:])}
		r.schema(entrySchema)
		getEntry(&r, &e)
		return e, r.end()
	}
	var f entryFrame
	if json.Unmarshal(data, &f) != nil || f.Schema != entrySchema {
		return Entry{}, fmt.Errorf("%w: quota: entry does not decode", storage.ErrCorrupt)
	}
	return f.Data, nil
}

// A digest is an intent as holds keep it; hexadecimal in JSON.
type digest [32]byte

func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

func (d *digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return hex.ErrLength
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// settlements is the compact form of the answers of [Ledger.Capture] and
// [Ledger.Release], behind the intent. A field added later goes to the end.
var settlements = storage.Answer[Settlement]{
	Append: func(b []byte, s Settlement) []byte {
		b = putTime(putText(b, s.Hold), s.At)
		return putList(b, s.Lines, func(b []byte, l *SettledLine) []byte {
			b = putNum(putWord(putText(b, l.Slot), l.State), int64(l.Units))
			return putList(b, l.Returned, func(b []byte, r *Return) []byte {
				return putBit(putTime(putNum(putText(b, r.Lot), int64(r.Units)), r.Until), r.Gone)
			})
		})
	},
	Decode: func(b []byte) (s Settlement, err error) {
		r := reader{b: string(b)}
		s.Hold, s.At = HoldID(r.text()), r.time()
		s.Lines = getList(&r, nil, func(r *reader, l *SettledLine) {
			l.Slot, l.State, l.Units = SlotID(r.text()), LineState(r.word()), Units(r.num())
			l.Returned = getList(r, nil, func(r *reader, ret *Return) {
				ret.Lot, ret.Units, ret.Until, ret.Gone = LotID(r.text()), Units(r.num()), r.time(), r.bit()
			})
		})
		if s.Lines == nil {
			s.Lines = []SettledLine{} // of a release that found nothing held
		}
		return s, r.end()
	},
}
