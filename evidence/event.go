package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

const (
	// MaxEvent bounds the canonical bytes of an event.
	MaxEvent = 16 << 10
	// MaxID bounds ids of envelopes, documents and actors, in bytes.
	MaxID = 64

	eventVersion = 1
	timeForm     = "2006-01-02T15:04:05.000000Z"
)

// An Event is one thing that happened to an envelope, as it was recorded. Its
// canonical bytes are the record; the fields are a view of them.
type Event struct {
	Env  string    // envelope
	Seq  uint64    // dense from 1
	Type string    // a name of the registry; see [Types]
	At   time.Time // recording instant; never before the previous event's
	Back bool      // the clock had gone back, so At repeats the previous one
	Eff  time.Time // effective instant where it differs, such as a passed deadline
	Prev []byte    // SHA-256 of the previous event; of the first: [Genesis]
	// NotBefore names the newest timestamp token known then: the event is
	// younger than that token.
	NotBefore Before
	Actor     Actor
	Docs      []DocChange
	Auth      []Auth
	Req       map[string]any // facts of the request that are not personal
	X         map[string]any // extension of the type
	Personal  []Committed

	raw  []byte
	room []byte // the hashes above, where scan put them
}

// Actor is who acted, by ids that are not personal (T25, H34).
type Actor struct {
	ID      string // who: a person's, recipient's or system's pseudonymous id. Required
	Role    string // in what capacity
	Account string // for whom: the account whose act it is
}

// A DocChange says what a document was before and after.
type DocChange struct {
	ID     string
	Rev    int    // revision after the event
	Before Digest // zero: there was none
	After  Digest // zero: unchanged or gone
}

// An Auth is the result of an identity or intent check behind an act. A
// certificate appears by the hash of its bytes only, never by its subject.
type Auth struct {
	Level       string    // I0 to I4 or W0 to W3
	Method      string    // code, face, passkey, bank4 ...
	Provider    string    // who checked
	Transaction []byte    // SHA-256 of the provider's reference
	Cert        []byte    // SHA-256 of the signer's certificate
	NotAfter    time.Time // its end
}

// A Committed is a commitment to a personal value: its field, 32 bytes, and the
// alias of the subject in this envelope.
type Committed = privacy.Commitment

// Before names a timestamp token over a checkpoint.
type Before struct {
	Token []byte // SHA-256 of the token; nil: there was none
	Size  uint64 // tree size of its checkpoint
}

// Bytes returns the canonical bytes.
func (e *Event) Bytes() []byte { return bytes.Clone(e.raw) }

// Hash is the SHA-256 of the canonical bytes, to which the next event points.
func (e *Event) Hash() []byte {
	h := sha256.Sum256(e.raw)
	return h[:]
}

// Genesis is what the first event of a chain points to: SHA-256 over origin,
// tenant and envelope, so that no chain can pass for another's.
func Genesis(origin, tenant, env string) []byte {
	b := []byte("countersign/genesis/v1")
	for _, s := range []string{origin, tenant, env} {
		b = lp(b, s)
	}
	h := sha256.Sum256(b)
	return h[:]
}

func lp(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
}

// encode writes the canonical form; members stand in the order of their names.
func (e *Event) encode(dst []byte) ([]byte, error) {
	w := writer{b: dst}
	w.open()
	w.key("actor")
	w.open()
	w.text("account", e.Actor.Account)
	w.text("id", e.Actor.ID)
	w.text("role", e.Actor.Role)
	w.close()
	w.time("at", e.At)
	if len(e.Auth) > 0 {
		w.array("auth", len(e.Auth), func(i int) {
			a := &e.Auth[i]
			w.open()
			w.hex("cert", a.Cert)
			w.text("level", a.Level)
			w.text("method", a.Method)
			w.time("not_after", a.NotAfter)
			w.text("provider", a.Provider)
			w.hex("tx", a.Transaction)
			w.close()
		})
	}
	if e.Back {
		w.key("ck")
		w.b = append(w.b, "true"...)
	}
	if len(e.Docs) > 0 {
		w.array("docs", len(e.Docs), func(i int) {
			d := &e.Docs[i]
			w.open()
			w.digest("after", d.After)
			w.digest("before", d.Before)
			w.text("id", d.ID)
			w.int("rev", uint64(d.Rev))
			w.close()
		})
	}
	w.time("eff", e.Eff)
	w.text("env", e.Env)
	if e.NotBefore.Token != nil {
		w.key("nb")
		w.open()
		w.int("size", e.NotBefore.Size)
		w.hex("token", e.NotBefore.Token)
		w.close()
	}
	if len(e.Personal) > 0 {
		w.array("pd", len(e.Personal), func(i int) {
			c := &e.Personal[i]
			w.open()
			w.hex("c", c.C)
			w.text("f", string(c.Field))
			w.text("k", c.K)
			w.close()
		})
	}
	w.hex("prev", e.Prev)
	w.object("req", e.Req)
	w.int("seq", e.Seq)
	w.text("type", e.Type)
	w.int("v", eventVersion)
	w.object("x", e.X)
	w.close()
	if w.err != nil {
		return nil, w.err
	}
	if len(w.b)-len(dst) > MaxEvent {
		return nil, fmt.Errorf("%w: more than 16 KiB", ErrDraft)
	}
	return w.b, nil
}

// writer writes members in the order it is called, which must be theirs. Empty
// ones are left out.
type writer struct {
	b     []byte
	err   error
	comma bool
}

func (w *writer) open() {
	w.b = append(w.b, '{')
	w.comma = false
}

func (w *writer) close() {
	w.b = append(w.b, '}')
	w.comma = true
}

func (w *writer) key(k string) {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
	w.b = append(append(append(w.b, '"'), k...), '"', ':')
}

func (w *writer) text(k, s string) {
	if s == "" || w.err != nil {
		return
	}
	w.key(k)
	w.set(canon.AppendString(w.b, s))
}

func (w *writer) int(k string, n uint64) {
	if w.err != nil {
		return
	}
	w.key(k)
	w.set(canon.Append(w.b, n))
}

func (w *writer) set(b []byte, err error) {
	if err != nil {
		w.err = fmt.Errorf("%w: %w", ErrDraft, err)
		return
	}
	w.b = b
}

func (w *writer) hex(k string, b []byte) {
	if len(b) == 0 {
		return
	}
	w.key(k)
	w.b = append(hex.AppendEncode(append(w.b, '"'), b), '"')
}

func (w *writer) time(k string, t time.Time) {
	if t.IsZero() {
		return
	}
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		w.err = fmt.Errorf("%w: year", ErrDraft)
		return
	}
	w.key(k)
	w.b = append(t.UTC().AppendFormat(append(w.b, '"'), timeForm), '"')
}

func (w *writer) digest(k string, d Digest) {
	if d.IsZero() {
		return
	}
	w.key(k)
	w.open()
	w.hex("sha256", d.SHA256)
	w.int("size", uint64(d.Size))
	w.hex("sm3", d.SM3)
	w.close()
}

func (w *writer) object(k string, m map[string]any) {
	if len(m) == 0 || w.err != nil {
		return
	}
	w.key(k)
	w.set(canon.Append(w.b, m))
}

func (w *writer) array(k string, n int, item func(int)) {
	w.key(k)
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		item(i)
	}
	w.b = append(w.b, ']')
	w.comma = true
}

// check refuses what no event may hold, whoever wrote it.
func (e *Event) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrDraft, what) }
	if e.Env == "" || len(e.Env) > MaxID || e.Seq == 0 || !canon.Fits(e.Seq) {
		return bad("envelope or sequence")
	}
	if !validType(e.Type) {
		return bad("type")
	}
	if e.At.IsZero() || len(e.Prev) != sha256.Size {
		return bad("instant or chain")
	}
	if e.Actor.ID == "" || len(e.Actor.ID) > MaxID || len(e.Actor.Role) > MaxID || len(e.Actor.Account) > MaxID {
		return bad("actor")
	}
	if e.NotBefore.Token != nil && len(e.NotBefore.Token) != sha256.Size || e.NotBefore.Token == nil && e.NotBefore.Size != 0 {
		return bad("not-before token")
	}
	for i := range e.Docs {
		d := &e.Docs[i]
		if d.ID == "" || len(d.ID) > MaxID || d.Rev < 0 || !d.Before.ok() || !d.After.ok() {
			return bad("document")
		}
	}
	for i := range e.Auth {
		a := &e.Auth[i]
		if a.Method == "" || !hashOrNone(a.Transaction) || !hashOrNone(a.Cert) {
			return bad("authentication")
		}
	}
	for i := range e.Personal {
		c := &e.Personal[i]
		if !c.Field.Valid() || len(c.C) != sha256.Size || c.K == "" || len(c.K) > MaxID {
			return bad("commitment")
		}
	}
	return nil
}

func hashOrNone(b []byte) bool { return len(b) == 0 || len(b) == sha256.Size }

// reader takes typed members out of a parsed object; bad says that one was
// there with another type.
type reader struct {
	o   map[string]any
	bad bool
}

func member[T any](r *reader, k string) (v T, ok bool) {
	x, there := r.o[k]
	if !there {
		return v, false
	}
	if v, ok = x.(T); !ok {
		r.bad = true
	}
	return v, ok
}

func (r *reader) text(k string) string {
	s, _ := member[string](r, k)
	return s
}

func (r *reader) int(k string) uint64 {
	n, _ := member[int64](r, k)
	if n < 0 {
		r.bad = true
		return 0
	}
	return uint64(n)
}

func (r *reader) flag(k string) bool {
	b, _ := member[bool](r, k)
	return b
}

func (r *reader) hex(k string) []byte {
	s, ok := member[string](r, k)
	if !ok {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		r.bad = true
	}
	return b
}

func (r *reader) time(k string) time.Time {
	s, ok := member[string](r, k)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(timeForm, s)
	if err != nil {
		r.bad = true
	}
	return t.UTC()
}

func (r *reader) free(k string) map[string]any {
	m, _ := member[map[string]any](r, k)
	return m
}

func (r *reader) object(k string, f func(*reader)) {
	m, ok := member[map[string]any](r, k)
	if !ok {
		return
	}
	in := reader{o: m}
	f(&in)
	r.bad = r.bad || in.bad
}

func (r *reader) each(k string, f func(*reader)) {
	list, _ := member[[]any](r, k)
	for _, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			r.bad = true
			return
		}
		in := reader{o: m}
		f(&in)
		r.bad = r.bad || in.bad
	}
}

func (r *reader) digest() Digest {
	return Digest{Size: int64(r.int("size")), SHA256: storage.Hex(r.hex("sha256")), SM3: storage.Hex(r.hex("sm3"))}
}
