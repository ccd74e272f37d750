package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
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
	*e = Event{Docs: e.Docs[:0], Auth: e.Auth[:0], Personal: e.Personal[:0], raw: raw, room: p.room}

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
			if c := p.committed(); keep {
				e.Personal = append(e.Personal, c)
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
	if p.bad || p.i != len(p.b) || e.Seq == 0 || !validType(e.Type) {
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
	return p.get(t)
}

// special has what is not a plain character within a string: quote, backslash,
// controls, and what is not ASCII.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c >= 0x80 || c == '"' || c == '\\'
	}
	return t
}()

// str reads a string that is not empty.
func (p *scanner) str() (t text) {
	if p.i >= len(p.b) || p.b[p.i] != '"' {
		p.fail()
		return t
	}
	b := p.b[p.i+1:]
	n := 0
	for n < len(b) && !special[b[n]] {
		n++
	}
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

// digits reads n digits from offset at of the time that begins at p.i.
func (p *scanner) digits(at, n int) int {
	v := 0
	for _, c := range p.b[p.i+at : p.i+at+n] {
		if c < '0' || c > '9' {
			p.bad = true
		}
		v = v*10 + int(c-'0')
	}
	return v
}

// time reads an instant in [timeForm]; the zero instant is never written.
func (p *scanner) time() time.Time {
	const form = `"0000-00-00T00:00:00.000000Z"`
	if len(p.b)-p.i < len(form) {
		p.fail()
		return time.Time{}
	}
	for _, k := range [...]int{0, 5, 8, 11, 14, 17, 20, 27, 28} {
		if p.b[p.i+k] != form[k] {
			p.fail()
			return time.Time{}
		}
	}
	y, m, d := p.digits(1, 4), p.digits(6, 2), p.digits(9, 2)
	h, mi, s, us := p.digits(12, 2), p.digits(15, 2), p.digits(18, 2), p.digits(21, 6)
	t := time.Date(y, time.Month(m), d, h, mi, s, us*1000, time.UTC)
	// Date would carry what is out of range over.
	if p.bad || y < 1 || m < 1 || m > 12 || d < 1 || t.Day() != d || h > 23 || mi > 59 || s > 59 || t.IsZero() {
		p.fail()
		return time.Time{}
	}
	p.i += len(form)
	return t
}

// nibble is the value of a hexadecimal digit in lower case, above 15 for others.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

// hash reads 32 bytes in hexadecimal.
func (p *scanner) hash() []byte {
	if len(p.b)-p.i < 66 || p.b[p.i] != '"' || p.b[p.i+65] != '"' {
		p.fail()
		return nil
	}
	in := (*[64]byte)(p.b[p.i+1:])
	wrong := byte(0)
	var out []byte
	if p.keep {
		from := len(p.room)
		p.room = p.room[:from+32]
		out = p.room[from : from+32 : from+32]
		for k := range out {
			hi, lo := nibble[in[2*k]], nibble[in[2*k+1]]
			wrong |= hi | lo
			out[k] = hi<<4 | lo
		}
	} else {
		for k := 0; k < len(in); k += 2 {
			wrong |= nibble[in[k]] | nibble[in[k+1]]
		}
	}
	if wrong > 15 {
		p.fail()
		return nil
	}
	p.i += 66
	return out
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

func (p *scanner) committed() (c Committed) {
	p.need(`{"c":`)
	c.C = p.hash()
	p.need(`,"f":`)
	f := p.field()
	p.need(`,"k":`)
	k := p.short()
	p.need(`}`)
	c.Field, c.K = privacy.Field(p.kept(f)), p.kept(k)
	return c
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
