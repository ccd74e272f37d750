package privacy

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/storage"
)

// A Context is the place a commitment belongs to: one event of one envelope.
type Context struct {
	Env string
	Seq uint64
}

// A Commitment stands for a value in an event: it fixes the value and says
// nothing about it, even to who tries all phone numbers, because its salt has
// 256 random bits that go with the subject's key.
type Commitment struct {
	Field Field
	C     []byte // HMAC-SHA-256, 32 bytes
	K     string // the subject's alias in the envelope, under which salt and value are found
}

// An Opening proves what a commitment stands for. It opens that one only.
// Salt and value are clear text, kept as a [Value] keeps its own: whoever has
// both can tell, whoever has the salt can try all phone numbers.
type Opening struct {
	Field Field

	salt, value func() string
}

// NewOpening is an opening as read from a disclosure.
func NewOpening(f Field, salt []byte, value string) Opening {
	s := string(salt)
	return Opening{Field: f, salt: func() string { return s }, value: func() string { return value }}
}

// Salt returns the 32-byte salt of the field.
func (o Opening) Salt() []byte {
	if o.salt == nil {
		return nil
	}
	return []byte(o.salt())
}

// Clear returns the value in the clear, for a disclosure.
func (o Opening) Clear() string {
	if o.value == nil {
		return ""
	}
	return o.value()
}

// Format hides value and salt from every verb.
func (o Opening) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("{" + string(o.Field) + " ***}")) }

const (
	saltLabel   = "countersign/salt/v1"
	commitLabel = "countersign/commit/v1"
)

func salt(seed []byte, f Field) []byte { return saltOf(extract(seed), f) }

// extract is the first half of HKDF (RFC 5869 §2.2) without a salt, which all
// fields of a seed share; saltOf is the other.
func extract(seed []byte) []byte { return hmac256(make([]byte, sha256.Size), seed) }

func saltOf(prk []byte, f Field) []byte {
	return hmac256(prk, append(lp(append(make([]byte, 0, 96), saltLabel...), string(f)), 1))
}

func commitment(salt []byte, c Context, f Field, value string) []byte {
	b := lp(append(make([]byte, 0, 256), commitLabel...), c.Env)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	return hmac256(salt, lp(lp(b, string(f)), value))
}

// hmac256 is HMAC-SHA-256 (RFC 2104) under a key of 32 bytes in one call: an event
// has a dozen of them, and most of what crypto/hmac does for one is making room.
func hmac256(key, msg []byte) []byte {
	var pad [sha256.BlockSize]byte
	copy(pad[:], key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	inner := sha256.Sum256(append(append(make([]byte, 0, 512), pad[:]...), msg...))
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], pad[:])
	copy(outer[sha256.BlockSize:], inner[:])
	sum := sha256.Sum256(outer[:])
	return sum[:]
}

// Opens reports whether o opens commitment c at place at. Moved to another
// event, envelope or field it does not.
func (o Opening) Opens(c []byte, at Context) bool {
	salt := o.Salt()
	return len(salt) == sha256.Size && hmac.Equal(c, commitment(salt, at, o.Field, o.Clear()))
}

// seedRecord is the sealed seed and values of one subject at one event.
type seedRecord struct {
	C []byte `json:"c"`
}

type seedBody struct {
	Seed   []byte           `json:"seed"`
	Values map[Field]string `json:"values"`
}

var seeds = storage.Kind[seedRecord]{Name: "privacy.seed", Schema: 1}

// aliasRecord leads from an alias in an event to the subject.
type aliasRecord struct {
	Subject string `json:"subject"`
}

var aliases = storage.Kind[aliasRecord]{Name: "privacy.alias", Schema: 1}

func seedID(subject string, c Context) string {
	return storage.JoinID(subject, c.Env, fmt.Sprintf("%016x", c.Seq))
}

func seedAAD(s Subject, c Context) []byte {
	return lps("countersign/seed/v1", s.Tenant, seeds.Name, s.ID, c.Env, fmt.Sprintf("%016x", c.Seq))
}

// CommitTx makes a commitment to a value for one event and keeps seed and value
// sealed under the subject's key, all in the caller's commit. Nothing is
// revealed. It fails with [ErrLocked], [ErrErased], [ErrInvalid] (biometrics
// are never committed), or [ErrConflict] if the event has the field already.
func (v *Vault) CommitTx(tx *storage.Tx, s Subject, c Context, f Field, val Value) (Commitment, error) {
	list, err := v.CommitAllTx(tx, s, c, []Committing{{f, val}})
	if err != nil {
		return Commitment{}, err
	}
	return list[0], nil
}

// A Committing is a field and the value to commit to.
type Committing struct {
	Field Field
	Value Value
}

// CommitAllTx is [Vault.CommitTx] for several fields of one subject, which it
// seals together; the commitments come in the order of list.
func (v *Vault) CommitAllTx(tx *storage.Tx, s Subject, c Context, list []Committing) ([]Commitment, error) {
	return v.commitAll(tx, s, c, list, false)
}

// CommitNewTx is [Vault.CommitAllTx] for a place where nothing was committed of
// the subject yet, which it takes on trust instead of reading: if something was,
// the commit conflicts and, tried again, fails with storage.ErrExists.
func (v *Vault) CommitNewTx(tx *storage.Tx, s Subject, c Context, list []Committing) ([]Commitment, error) {
	return v.commitAll(tx, s, c, list, true)
}

func (v *Vault) commitAll(tx *storage.Tx, s Subject, c Context, list []Committing, fresh bool) ([]Commitment, error) {
	if c.Env == "" || len(c.Env) > MaxID || c.Seq == 0 || len(list) == 0 {
		return nil, fmt.Errorf("%w: commitment", ErrInvalid)
	}
	for _, p := range list {
		if err := checkValue(s, p.Field, p.Value); err != nil {
			return nil, err
		}
		if p.Value.Class() == ClassBiometric {
			return nil, fmt.Errorf("%w: commitment to biometrics", ErrInvalid)
		}
		if err := v.mayKeep(tx, s, p.Value); err != nil {
			return nil, err
		}
	}
	alias, err := v.Alias(s, c.Env)
	if err != nil {
		return nil, err
	}
	x, err := v.openSubject(tx, s, true)
	if err != nil {
		return nil, err
	}
	key, err := x.evidence(true)
	if err != nil {
		return nil, err
	}
	if x.fresh {
		if err := x.put(tx); err != nil {
			return nil, err
		}
	}
	body := seedBody{Seed: make([]byte, 32), Values: map[Field]string{}}
	var row seedRecord
	ok := false
	if !fresh {
		if row, ok, err = seeds.Get(tx, s.Tenant, seedID(s.ID, c)); err != nil {
			return nil, err
		}
	}
	if ok {
		if body, err = v.openSeed(x, c, row); err != nil {
			return nil, err
		}
	} else {
		_, _ = rand.Read(body.Seed)
		if _, known, err := aliases.Get(tx, s.Tenant, storage.JoinID(c.Env, alias)); err != nil {
			return nil, err
		} else if !known {
			if err := aliases.Create(tx, s.Tenant, storage.JoinID(c.Env, alias), aliasRecord{s.ID}); err != nil {
				return nil, err
			}
		}
	}
	out := make([]Commitment, 0, len(list))
	prk := extract(body.Seed)
	for _, p := range list {
		if _, dup := body.Values[p.Field]; dup {
			return nil, ErrConflict
		}
		text := p.Value.clearText()
		body.Values[p.Field] = text
		out = append(out, Commitment{Field: p.Field, C: commitment(saltOf(prk, p.Field), c, p.Field, text), K: alias})
	}
	plain, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("privacy: seed: %w", err)
	}
	if row.C, err = v.suite.seal(key, evidenceKeyID, plain, seedAAD(s, c)); err != nil {
		return nil, fmt.Errorf("privacy: seed: %w", err)
	}
	if fresh {
		return out, seeds.Create(tx, s.Tenant, seedID(s.ID, c), row)
	}
	return out, seeds.Put(tx, s.Tenant, seedID(s.ID, c), row)
}

func (v *Vault) openSeed(x *subject, c Context, row seedRecord) (seedBody, error) {
	key, err := x.evidence(false)
	if err != nil {
		return seedBody{}, err
	}
	plain, err := v.suite.open(key, evidenceKeyID, row.C, seedAAD(x.s, c))
	if err != nil {
		return seedBody{}, err
	}
	var body seedBody
	if err := json.Unmarshal(plain, &body); err != nil || len(body.Seed) != 32 || body.Values == nil {
		return seedBody{}, ErrKey // never quote what was sealed
	}
	return body, nil
}

// OpenTx reveals what commitments of one subject at one event stand for, fields
// in the order asked; the access entry joins the caller's commit. k is the
// alias that the event names. Fails as [Vault.RevealTx] does.
func (v *Vault) OpenTx(ctx context.Context, tx *storage.Tx, tenant string, c Context, k string, fields []Field, why Purpose) ([]Opening, error) {
	a, err := accessorOf(ctx)
	if err != nil {
		return nil, err
	}
	if a.insecure {
		return nil, ErrNoAccessor
	}
	if err := v.purpose(why); err != nil {
		return nil, err
	}
	if a.Tenant != tenant {
		return nil, ErrNotFound
	}
	s, err := v.SubjectOfTx(tx, tenant, c.Env, k)
	if err != nil {
		return nil, err
	}
	x, err := v.openSubject(tx, s, false)
	if err != nil {
		return nil, err
	}
	if err := x.readable(tx, a.Accessor, why); err != nil {
		return nil, err
	}
	// What a commitment stands for may be of any class below biometrics.
	if err := v.integrator(tx, s, a.Accessor, why, ClassSensitive); err != nil {
		return nil, err
	}
	if !x.Asked.IsZero() && !x.now.Before(x.Keep) && !x.held(x.now) {
		// Erased by the date, though no sweep has told the chains yet.
		return nil, fmt.Errorf("%w: %w", ErrErased, ErrRestricted)
	}
	row, ok, err := seeds.Get(tx, tenant, seedID(s.ID, c))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotFound
	}
	body, err := v.openSeed(x, c, row)
	if err != nil {
		return nil, err
	}
	out := make([]Opening, 0, len(fields))
	for _, f := range fields {
		val, ok := body.Values[f]
		if !ok {
			return nil, ErrNotFound
		}
		out = append(out, NewOpening(f, salt(body.Seed, f), val))
	}
	return out, v.logAccess(tx, s, a.Accessor, why, fields, c.Env)
}

// SubjectOfTx finds whom an alias in an envelope's events stands for, or
// [ErrNotFound].
func (v *Vault) SubjectOfTx(tx *storage.Tx, tenant, env, k string) (Subject, error) {
	rec, ok, err := aliases.Get(tx, tenant, storage.JoinID(env, k))
	if err != nil {
		return Subject{}, err
	}
	if !ok {
		return Subject{}, ErrNotFound
	}
	return Subject{tenant, rec.Subject}, nil
}

// KeptTx reports whether the vault could still open a commitment: nil, or
// [ErrErased] for a subject erased or about to be, [ErrNotFound] or [ErrKey]
// for a value that is lost. It reveals nothing and leaves no entry; audits call
// it.
func (v *Vault) KeptTx(tx *storage.Tx, tenant string, at Context, c Commitment) error {
	s, err := v.SubjectOfTx(tx, tenant, at.Env, c.K)
	if err != nil {
		return err
	}
	x, err := v.openSubject(tx, s, false)
	if err != nil {
		return err
	}
	row, ok, err := seeds.Get(tx, tenant, seedID(s.ID, at))
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	body, err := v.openSeed(x, at, row)
	if err != nil {
		return err
	}
	val, ok := body.Values[c.Field]
	if !ok {
		return ErrNotFound
	}
	if !NewOpening(c.Field, salt(body.Seed, c.Field), val).Opens(c.C, at) {
		return ErrKey
	}
	return nil
}
