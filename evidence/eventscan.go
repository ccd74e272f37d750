package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
)

// ParseEvent reads the canonical bytes of an event; anything else, however
// close, is [ErrForm]. Unknown types are read; [Verify] judges them.
func ParseEvent(b []byte) (Event, error) {
	var e Event
	if err := e.scan(bytes.Clone(b)); err != nil {
		return Event{}, err
	}
	return e, nil
}

// scan reads an event in one pass. Every byte is demanded or a value, members
// stand in their one order and empty ones are nowhere, so that what is accepted
// is what encode would write; a fuzz test holds the two against each other. It
// keeps raw, and reuses what e has.
func (e *Event) scan(raw []byte) error { return e.read(raw, true, "") }

// glance is scan for those who judge a chain: it checks all and keeps, of what
// takes room, nothing. Env, Seq, Type, At, Back, Prev, Req and X are there, and as
// many Docs and Auth as there were, empty. An env that is the one expected costs
// nothing either.
func (e *Event) glance(raw []byte, env string) error { return e.read(raw, false, env) }

func (e *Event) read(raw []byte, keep bool, env string) error {
	if len(raw) > MaxEvent {
		return fmt.Errorf("%w: more than 16 KiB", ErrForm)
	}
	p := scanner{b: raw, keep: keep, room: e.room[:0]}
	room := sha256.Size
	if keep {
		p.s, room = string(raw), len(raw)/2
	}
	if cap(p.room) < room {
		p.room = make([]byte, 0, room)
	}
	e.Docs, e.Auth, e.Personal, e.raw, e.room = e.Docs[:0], e.Auth[:0], e.Personal[:0], raw, p.room
	e.Back, e.Eff, e.NotBefore, e.Actor, e.Req, e.X = false, time.Time{}, Before{}, Actor{}, nil, nil // the others are always there

	p.need(`{"actor":{`)
	if p.take(`"account":`) {
		e.Actor.Account = p.id()
		p.need(`,`)
	}
	p.need(`"id":`)
	e.Actor.ID = p.id()
	if p.take(`,"role":`) {
		e.Actor.Role = p.id()
	}
	p.need(`},"at":`)
	e.At = p.time()
	if p.take(`,"auth":[`) {
		for more := true; more; more = p.more() {
			e.Auth = append(e.Auth, p.auth())
		}
	}
	if p.take(`,"ck":true`) {
		e.Back = true
	}
	if p.take(`,"docs":[`) {
		for more := true; more; more = p.more() {
			e.Docs = append(e.Docs, p.doc())
		}
	}
	if p.take(`,"eff":`) {
		e.Eff = p.time()
	}
	p.need(`,"env":`)
	e.Env = p.known(p.short(), env)
	if p.take(`,"nb":{"size":`) {
		e.NotBefore.Size = p.int()
		p.need(`,"token":`)
		e.NotBefore.Token = p.hash()
		p.need(`}`)
	}
	if p.take(`,"pd":[`) {
		for more := true; more; more = p.more() {
			if p.committed(); keep {
				e.Personal = append(e.Personal, p.pd)
			}
		}
	}
	p.need(`,"prev":`)
	p.keep = true
	e.Prev = p.hash()
	if p.take(`,"req":`) {
		e.Req = p.object()
	}
	p.need(`,"seq":`)
	e.Seq = p.int()
	p.need(`,"type":`)
	e.Type = p.typ()
	p.need(`,"v":1`)
	if p.take(`,"x":`) {
		e.X = p.object()
	}
	p.need(`}`)
	if p.bad || p.i != len(p.b) || e.Seq == 0 {
		return fmt.Errorf("%w: not the canonical bytes", ErrForm)
	}
	return nil
}

// A scanner reads what encode writes and check allows.
type scanner struct {
	b    []byte
	s    string // the same, once a text of it is kept
	i    int
	bad  bool
	keep bool   // texts and hashes, not only check them
	room []byte // for decoded hashes

	alias []byte    // the last, as it stands, with its quotes
	pd    Committed // the last, as far as it is kept
}

func (p *scanner) take(lit string) bool {
	if n := p.i + len(lit); n <= len(p.b) && string(p.b[p.i:n]) == lit {
		p.i = n
		return true
	}
	return false
}

func (p *scanner) need(lit string) {
	if !p.take(lit) {
		p.fail()
	}
}

// fail makes all that follows fail, too.
func (p *scanner) fail() {
	p.bad = true
	p.i = len(p.b)
}

// more reads what is between the items of an array, or its end.
func (p *scanner) more() bool {
	if p.take(`,`) {
		return true
	}
	p.need(`]`)
	return false
}

// A text is where a string stands; one with escapes or of other scripts is other.
type text struct {
	from, to int
	other    string
}

func (t *text) len() int { return t.to - t.from + len(t.other) }

// get is the string itself.
func (p *scanner) get(t text) string {
	if t.other != "" || t.from == t.to {
		return t.other
	}
	if p.s == "" {
		p.s = string(p.b)
	}
	return p.s[t.from:t.to]
}

// kept is get if texts are kept.
func (p *scanner) kept(t text) string {
	if !p.keep {
		return ""
	}
	return p.get(t)
}

// known is get, and costs nothing if the text is s.
func (p *scanner) known(t text, s string) string {
	if t.other == "" && string(p.b[t.from:t.to]) == s {
		return s
	}
	return p.get(t)
}

// typ reads the name of an event's type.
func (p *scanner) typ() string {
	t := p.str()
	if info, ok := registry[string(p.b[t.from:t.to])]; ok && t.other == "" {
		return info.Name
	}
	s := p.get(t)
	if !validType(s) {
		p.fail()
	}
	return s
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// plain counts the characters at the start of b that stand for themselves within
// a string: no quote, backslash or control, and ASCII. Eight are looked at at once;
// a borrow may only mark what lies behind a marked one.
func plain(b []byte) int {
	n := 0
	for ; n+8 <= len(b); n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		if bad := (x | (x - ones*0x20) | (quote - ones) | (slash - ones)) & tops; bad != 0 {
			return n + bits.TrailingZeros64(bad)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			break
		}
	}
	return n
}

// str reads a string that is not empty.
func (p *scanner) str() (t text) {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		p.fail()
		return t
	}
	b := p.b[p.i+1:]
	n := plain(b)
	switch {
	case n == len(b) || n == 0 && b[0] == '"':
		p.fail()
		return t
	case b[n] == '"':
		t = text{from: p.i + 1, to: p.i + 1 + n}
		p.i = t.to + 1
		return t
	}
	v, n, err := canon.Prefix(p.b[p.i:], 1)
	s, ok := v.(string)
	if err != nil || !ok || s == "" {
		p.fail()
		return t
	}
	p.i += n
	return text{other: s}
}

// short reads a string of at most MaxID bytes.
func (p *scanner) short() text {
	t := p.str()
	if t.len() > MaxID {
		p.fail()
		return text{}
	}
	return t
}

func (p *scanner) id() string { return p.kept(p.short()) }

// field reads the name of a field.
func (p *scanner) field() text {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		p.fail()
		return text{}
	}
	b := p.b[p.i+1:]
	n := 0
	for n < len(b) && canon.InKey(b[n]) {
		n++
	}
	if n == 0 || n > 32 || n == len(b) || b[n] != '"' {
		p.fail()
		return text{}
	}
	t := text{from: p.i + 1, to: p.i + 1 + n}
	p.i = t.to + 1
	return t
}

// int reads an integer from 0 to 2^53-1.
func (p *scanner) int() uint64 {
	start, n := p.i, uint64(0)
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' && p.i-start < 17 {
		n = n*10 + uint64(p.b[p.i]-'0')
		p.i++
	}
	if p.i == start || p.b[start] == '0' && p.i > start+1 || !canon.Fits(n) {
		p.fail()
	}
	return n
}

// two is the value of two digits, from 100 if they are none.
func two(hi, lo byte) int {
	h, l := int(hi)-'0', int(lo)-'0'
	if uint(h) > 9 || uint(l) > 9 {
		return 1_000_000
	}
	return 10*h + l
}

// time reads an instant in [timeForm]; the zero instant is never written.
func (p *scanner) time() time.Time {
	if len(p.b)-p.i < len(timeForm)+2 {
		p.fail()
		return time.Time{}
	}
	b := (*[len(timeForm) + 2]byte)(p.b[p.i:])
	form := b[0] == '"' && b[5] == '-' && b[8] == '-' && b[11] == 'T' && b[14] == ':' && b[17] == ':' && b[20] == '.' && b[27] == 'Z' && b[28] == '"'
	y, m, d := 100*two(b[1], b[2])+two(b[3], b[4]), two(b[6], b[7]), two(b[9], b[10])
	h, mi, s := two(b[12], b[13]), two(b[15], b[16]), two(b[18], b[19])
	us := 10_000*two(b[21], b[22]) + 100*two(b[23], b[24]) + two(b[25], b[26])
	if !form || y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 || d > daysIn(y, m) || h > 23 || mi > 59 || s > 59 || us > 999_999 {
		p.fail()
		return time.Time{}
	}
	t := time.Unix(int64(daysBefore(y, m)+d-1)*86400+int64(h*3600+mi*60+s), int64(us)*1000).UTC()
	if t.IsZero() {
		p.fail()
		return t
	}
	p.i += len(b)
	return t
}

func leap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

// ordinal is how many days lie before a month of a year that has no leap day.
var ordinal = [...]int{0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func daysIn(y, m int) int {
	n := ordinal[m+1] - ordinal[m]
	if m == 2 && leap(y) {
		n++
	}
	return n
}

// daysBefore counts the days from 1970 to a month, in the Gregorian calendar.
func daysBefore(y, m int) int {
	const to1970 = 719162 // from the first of January of year 1
	k := y - 1
	n := 365*k + k/4 - k/100 + k/400 - to1970 + ordinal[m]
	if m > 2 && leap(y) {
		n++
	}
	return n
}

// hash reads 32 bytes in hexadecimal.
func (p *scanner) hash() []byte {
	if len(p.b)-p.i < 66 || p.b[p.i] != '"' || p.b[p.i+65] != '"' {
		p.fail()
		return nil
	}
	in := (*[64]byte)(p.b[p.i+1:])
	if !isHex(in) {
		p.fail()
		return nil
	}
	p.i += 66
	if !p.keep {
		return nil
	}
	from := len(p.room)
	for k := 0; k < len(in); k += 8 {
		p.room = binary.LittleEndian.AppendUint32(p.room, unhex(binary.LittleEndian.Uint64(in[k:])))
	}
	return p.room[from:len(p.room):len(p.room)]
}

// isHex reports whether all characters are hexadecimal digits in lower case. It
// looks at eight at once.
func isHex(in *[64]byte) bool {
	wrong := uint64(0)
	for k := 0; k < len(in); k += 8 {
		x := binary.LittleEndian.Uint64(in[k:])
		letter := x >> 6 & ones // the high half is 6 instead of 3
		low := x & (ones * 0x0f)
		wrong |= x&(ones*0xf0) ^ (ones*0x30 + letter*0x30)
		wrong |= (low + ones*6 + letter*3) & (ones * 0x10)          // above 9, or above 6
		wrong |= (letter << 4) &^ (low + ones*0x0f) & (ones * 0x10) // a letter of 0
	}
	return wrong == 0
}

// unhex is the value of eight hexadecimal digits, both in little-endian order.
func unhex(x uint64) uint32 {
	x = x&(ones*0x0f) + x>>6&ones*9
	x = (x<<4 | x>>8) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// object reads an object that is not empty.
func (p *scanner) object() map[string]any {
	v, n, err := canon.Prefix(p.b[p.i:], 1)
	m, _ := v.(map[string]any)
	if err != nil || len(m) == 0 {
		p.fail()
		return nil
	}
	p.i += n
	return m
}

// committed reads a commitment into p.pd.
func (p *scanner) committed() {
	p.need(`{"c":`)
	p.pd.C = p.hash()
	p.need(`,"f":`)
	p.pd.Field = privacy.Field(p.kept(p.field()))
	p.need(`,"k":`)
	if p.alias != nil && bytes.HasPrefix(p.b[p.i:], p.alias) {
		p.i += len(p.alias) // of the same subject, as most are
	} else {
		from := p.i
		p.pd.K = p.id()
		p.alias = p.b[from:p.i]
	}
	p.need(`}`)
}

func (p *scanner) doc() (d DocChange) {
	p.need(`{`)
	if p.take(`"after":`) {
		d.After = p.digest()
		p.need(`,`)
	}
	if p.take(`"before":`) {
		d.Before = p.digest()
		p.need(`,`)
	}
	p.need(`"id":`)
	d.ID = p.id()
	p.need(`,"rev":`)
	if d.Rev = int(p.int()); d.Rev < 0 { // of 32 bits
		p.fail()
	}
	p.need(`}`)
	return d
}

// digest reads a digest that names something, with its SHA-256.
func (p *scanner) digest() (d Digest) {
	p.need(`{"sha256":`)
	d.SHA256 = p.hash()
	p.need(`,"size":`)
	d.Size = int64(p.int())
	if p.take(`,"sm3":`) {
		d.SM3 = p.hash()
	}
	p.need(`}`)
	return d
}

func (p *scanner) auth() (a Auth) {
	p.need(`{`)
	if p.take(`"cert":`) {
		a.Cert = p.hash()
		p.need(`,`)
	}
	if p.take(`"level":`) {
		a.Level = p.kept(p.str())
		p.need(`,`)
	}
	p.need(`"method":`)
	a.Method = p.kept(p.str())
	if p.take(`,"not_after":`) {
		a.NotAfter = p.time()
	}
	if p.take(`,"provider":`) {
		a.Provider = p.kept(p.str())
	}
	if p.take(`,"tx":`) {
		a.Transaction = p.hash()
	}
	p.need(`}`)
	return a
}
