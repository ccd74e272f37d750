package evidence

import (
	"bytes"
	"fmt"
	"strings"
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
func (e *Event) scan(raw []byte) error {
	if len(raw) > MaxEvent {
		return fmt.Errorf("%w: more than 16 KiB", ErrForm)
	}
	p := scanner{b: raw, s: string(raw), room: e.room[:0]}
	if cap(p.room) < len(raw)/2 {
		p.room = make([]byte, 0, len(raw)/2)
	}
	*e = Event{Docs: e.Docs[:0], Auth: e.Auth[:0], Personal: e.Personal[:0], raw: raw, room: p.room}

	p.need(`{"actor":{`)
	if p.take(`"account":`) {
		e.Actor.Account = p.str()
		p.need(`,`)
	}
	p.need(`"id":`)
	e.Actor.ID = p.str()
	if p.take(`,"role":`) {
		e.Actor.Role = p.str()
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
	e.Env = p.str()
	if p.take(`,"nb":{"size":`) {
		e.NotBefore.Size = p.int()
		p.need(`,"token":`)
		e.NotBefore.Token = p.hash()
		p.need(`}`)
	}
	if p.take(`,"pd":[`) {
		for more := true; more; more = p.more() {
			e.Personal = append(e.Personal, p.committed())
		}
	}
	p.need(`,"prev":`)
	e.Prev = p.hash()
	if p.take(`,"req":`) {
		e.Req = p.object()
	}
	p.need(`,"seq":`)
	e.Seq = p.int()
	p.need(`,"type":`)
	e.Type = p.str()
	p.need(`,"v":1`)
	if p.take(`,"x":`) {
		e.X = p.object()
	}
	p.need(`}`)
	if p.bad || p.i != len(p.s) {
		return fmt.Errorf("%w: not the canonical bytes", ErrForm)
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrForm, err)
	}
	return nil
}

type scanner struct {
	b    []byte
	s    string // the same
	i    int
	bad  bool
	room []byte // for decoded hashes
}

func (p *scanner) take(lit string) bool {
	if strings.HasPrefix(p.s[p.i:], lit) {
		p.i += len(lit)
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
	p.i = len(p.s)
}

// more reads what is between the items of an array, or its end.
func (p *scanner) more() bool {
	if p.take(`,`) {
		return true
	}
	p.need(`]`)
	return false
}

// str reads a string that is not empty.
func (p *scanner) str() string {
	if p.i >= len(p.s) || p.s[p.i] != '"' {
		p.fail()
		return ""
	}
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			out := p.s[p.i+1 : i]
			p.i = i + 1
			if out == "" {
				p.fail()
			}
			return out
		case c < 0x20 || c == '\\' || c >= 0x80: // escapes and other scripts
			v, n, err := canon.Prefix(p.b[p.i:], 1)
			out, ok := v.(string)
			if err != nil || !ok || out == "" {
				p.fail()
				return ""
			}
			p.i += n
			return out
		}
	}
	p.fail()
	return ""
}

// int reads an integer from 0 to 2^53-1.
func (p *scanner) int() uint64 {
	start, n := p.i, uint64(0)
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' && p.i-start < 17 {
		n = n*10 + uint64(p.s[p.i]-'0')
		p.i++
	}
	if p.i == start || p.s[start] == '0' && p.i > start+1 || !canon.Fits(n) {
		p.fail()
	}
	return n
}

// digits reads n digits from offset at of the time that begins at p.i.
func (p *scanner) digits(at, n int) int {
	v := 0
	for _, c := range []byte(p.s[p.i+at : p.i+at+n]) {
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
	if len(p.s)-p.i < len(form) {
		p.fail()
		return time.Time{}
	}
	for _, k := range [...]int{0, 5, 8, 11, 14, 17, 20, 27, 28} {
		if p.s[p.i+k] != form[k] {
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
	if len(p.s)-p.i < 66 || p.s[p.i] != '"' || p.s[p.i+65] != '"' {
		p.fail()
		return nil
	}
	in := p.s[p.i+1 : p.i+65]
	from := len(p.room)
	p.room = p.room[:from+32]
	out := p.room[from : from+32 : from+32]
	wrong := byte(0)
	for k := range out {
		hi, lo := nibble[in[2*k]], nibble[in[2*k+1]]
		wrong |= hi | lo
		out[k] = hi<<4 | lo
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
	c.Field = privacy.Field(p.str())
	p.need(`,"k":`)
	c.K = p.str()
	p.need(`}`)
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
	d.ID = p.str()
	p.need(`,"rev":`)
	d.Rev = int(p.int())
	p.need(`}`)
	return d
}

// digest reads a digest that names something: check demands its SHA-256.
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
		a.Level = p.str()
		p.need(`,`)
	}
	p.need(`"method":`)
	a.Method = p.str()
	if p.take(`,"not_after":`) {
		a.NotAfter = p.time()
	}
	if p.take(`,"provider":`) {
		a.Provider = p.str()
	}
	if p.take(`,"tx":`) {
		a.Transaction = p.hash()
	}
	p.need(`}`)
	return a
}
