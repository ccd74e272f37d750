package quota

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/countersign/countersign/storage"
)

// The fields of the compact forms, in their order.

func putLot(b []byte, l *Lot) []byte {
	b = putText(b, l.ID)
	b = putText(b, l.Unit)
	b = putTexts(b, l.Scope)
	b = putNum(b, int64(l.Priority))
	b = putText(b, l.Source)
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
	l.ID, l.Unit = LotID(r.text()), Unit(r.text())
	l.Scope = getList(r, nil, getText[ChargeKind])
	p := r.num()
	if p < math.MinInt16 || p > math.MaxInt16 {
		r.fail()
	}
	l.Priority, l.Source = int16(p), Source(r.text())
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
		return putNum(putText(putNum(b, d.Day), d.Unit), int64(d.Units))
	})
	b = putList(b, h.Marks, func(b []byte, m *mark) []byte {
		return putText(putText(putText(b, m.Rule), m.Unit), m.Lot)
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
	h.Usage = getList(r, nil, func(r *reader, d *dayUse) { d.Day, d.Unit, d.Units = r.num(), Unit(r.text()), Units(r.num()) })
	h.Marks = getList(r, nil, func(r *reader, m *mark) { m.Rule, m.Unit, m.Lot = AlertRule(r.text()), Unit(r.text()), LotID(r.text()) })
	h.Suspended, h.MergedInto = r.text(), AccountID(r.text())
	return r.end()
}

func putHold(b []byte, h *holdRecord) []byte {
	b = putText(b, h.ID)
	b = putText(b, h.Account)
	b = putText(b, h.Ref)
	b = putNum(b, int64(h.Rates))
	b = putUnum(b, uint64(len(h.Lines)))
	for i := range h.Lines {
		b = putLine(b, &h.Lines[i])
	}
	b = putTime(b, h.Expires)
	b = putUnum(b, h.Rev)
	b = append(append(b, byte(len(h.Intent))), h.Intent[:]...)
	b = putTexts(b, h.Opened)
	return putBit(b, h.Charged)
}

// readHold reads a hold into the memory of one that nobody uses any more.
func readHold(h *holdRecord, data string) error {
	r := &reader{b: data}
	r.schema(holdSchema)
	h.ID, h.Account, h.Ref, h.Rates = HoldID(r.text()), AccountID(r.text()), r.text(), int(r.num())
	h.Lines = sized(r, h.Lines, 14)
	for i := range h.Lines {
		getLine(r, &h.Lines[i])
	}
	h.Expires, h.Rev, h.Intent = r.time(), r.unum(), r.digest()
	h.Opened = sized(r, h.Opened, 1)
	for i := range h.Opened {
		h.Opened[i] = Channel(r.text())
	}
	h.Charged = r.bit()
	return r.end()
}

func putLine(b []byte, l *Line) []byte {
	b = putText(b, l.Slot)
	b = putText(b, l.Kind)
	b = putText(b, l.Unit)
	b = putText(b, l.Channel)
	b = putText(b, l.State)
	b = putText(b, l.Free)
	b = putText(b, l.Account)
	b = putText(b, l.Cause)
	b = putNum(b, int64(l.Units))
	b = putBit(b, l.Sticky)
	b = putUnum(b, uint64(len(l.From)))
	for i := range l.From {
		s := &l.From[i]
		b = putUnum(putNum(putText(b, s.Lot), int64(s.Units)), s.Entry)
	}
	b = putTime(b, l.Held)
	b = putTime(b, l.Settled)
	return putUnum(b, l.Since)
}

func getLine(r *reader, l *Line) {
	l.Slot, l.Kind, l.Unit, l.Channel = SlotID(r.text()), ChargeKind(r.text()), Unit(r.text()), Channel(r.text())
	l.State, l.Free, l.Account, l.Cause = LineState(r.text()), r.text(), AccountID(r.text()), Cause(r.text())
	l.Units, l.Sticky = Units(r.num()), r.bit()
	l.From = sized(r, l.From, 3)
	for i := range l.From {
		s := &l.From[i]
		s.Lot, s.Units, s.Entry = LotID(r.text()), Units(r.num()), r.unum()
	}
	l.Held, l.Settled, l.Since = r.time(), r.time(), r.unum()
}

func putEntry(b []byte, e *Entry) []byte {
	b = putUnum(b, e.Seq)
	b = putTime(b, e.Effective)
	b = putTime(b, e.Recorded)
	b = putText(b, e.Kind)
	b = putText(b, e.Lot)
	b = putText(b, e.Hold)
	b = putText(b, e.Slot)
	b = putText(b, e.Debit)
	b = putText(b, e.Credit)
	b = putText(b, e.Actor)
	b = putText(b, e.Reason)
	b = putNum(b, int64(e.Units))
	b = putUnum(b, e.Reverses)
	b = putTime(b, e.Expires)
	b = putBit(b, e.State != nil)
	if e.State != nil {
		b = putLot(b, e.State)
	}
	return b
}

func getEntry(r *reader, e *Entry) {
	e.Seq, e.Effective, e.Recorded = r.unum(), r.time(), r.time()
	e.Kind, e.Lot, e.Hold, e.Slot = EntryKind(r.text()), LotID(r.text()), HoldID(r.text()), SlotID(r.text())
	e.Debit, e.Credit, e.Actor, e.Reason = Book(r.text()), Book(r.text()), r.text(), r.text()
	e.Units, e.Reverses, e.Expires = Units(r.num()), r.unum(), r.time()
	if r.bit() {
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
			b = putNum(putText(putText(b, l.Slot), l.State), int64(l.Units))
			return putList(b, l.Returned, func(b []byte, r *Return) []byte {
				return putBit(putTime(putNum(putText(b, r.Lot), int64(r.Units)), r.Until), r.Gone)
			})
		})
	},
	Decode: func(b []byte) (s Settlement, err error) {
		r := reader{b: string(b)}
		s.Hold, s.At = HoldID(r.text()), r.time()
		s.Lines = getList(&r, nil, func(r *reader, l *SettledLine) {
			l.Slot, l.State, l.Units = SlotID(r.text()), LineState(r.text()), Units(r.num())
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
