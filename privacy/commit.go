package privacy

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

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

func salt(seed []byte, f Field) []byte {
	out := saltOf(extract(seed), f)
	return out[:]
}

// extract is the first half of HKDF (RFC 5869 §2.2) without a salt, which all
// fields of a seed share.
func extract(seed []byte) [sha256.Size]byte { return hmac256(make([]byte, sha256.Size), seed) }

func saltOf(prk [sha256.Size]byte, f Field) [sha256.Size]byte {
	return expand(prk, lp(append(make([]byte, 0, 96), saltLabel...), string(f)))
}

// expand is the second half of HKDF for 32 bytes.
func expand(prk [sha256.Size]byte, info []byte) [sha256.Size]byte {
	return hmac256(prk[:], append(info, 1))
}

func commitment(salt []byte, c Context, f Field, value string) [sha256.Size]byte {
	b := lp(append(make([]byte, 0, 256), commitLabel...), c.Env)
	b = binary.BigEndian.AppendUint64(b, c.Seq)
	return hmac256(salt, lp(lp(b, string(f)), value))
}

// hmac256 is HMAC-SHA-256 (RFC 2104) under a key of 32 bytes in one call: an event
// has a dozen of them, and most of what crypto/hmac does for one is making room.
func hmac256(key, msg []byte) [sha256.Size]byte {
	var room [320]byte
	pad := room[:sha256.BlockSize]
	copy(pad, key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	inner := sha256.Sum256(append(pad, msg...))
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	return sha256.Sum256(append(pad, inner[:]...))
}

// Opens reports whether o opens commitment c at place at. Moved to another
// event, envelope or field it does not.
func (o Opening) Opens(c []byte, at Context) bool {
	salt := o.Salt()
	sum := commitment(salt, at, o.Field, o.Clear())
	return len(salt) == sha256.Size && hmac.Equal(c, sum[:])
}

// aliasRecord leads from an alias in an event to the subject.
type aliasRecord struct {
	Subject string `json:"subject"`
}

var aliases = storage.Kind[aliasRecord]{Name: "privacy.alias", Schema: 1}

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
// seals together; the commitments come in the order of list. It fails as that does.
func (v *Vault) CommitAllTx(tx *storage.Tx, s Subject, c Context, list []Committing) ([]Commitment, error) {
	return v.commit(tx, c, []Party{{Subject: s, Values: list}}, false)
}

// A Party is a subject with what is to be committed to of it.
type Party struct {
	Subject Subject
	Values  []Committing
	// Known says that an earlier commit which this one builds on committed to
	// something of the subject in the same envelope: that spares looking. An
	// envelope's record that lists aliases knows.
	Known bool
}

// CommitNewTx is [Vault.CommitAllTx] for all subjects of an event to which nothing
// was committed yet, each named once and all of one tenant; the commitments come
// in the order of the parties. That the event is new it takes on trust instead of
// reading: if it is not, the commit conflicts and, tried again, fails with
// storage.ErrExists.
func (v *Vault) CommitNewTx(tx *storage.Tx, c Context, parties []Party) ([]Commitment, error) {
	return v.commit(tx, c, parties, true)
}

func (v *Vault) commit(tx *storage.Tx, c Context, parties []Party, fresh bool) ([]Commitment, error) {
	if c.Env == "" || len(c.Env) > MaxID || c.Seq == 0 || len(parties) == 0 {
		return nil, fmt.Errorf("%w: commitment", ErrInvalid)
	}
	tenant, total := parties[0].Subject.Tenant, 0
	for i := range parties {
		p := &parties[i]
		if p.Subject.Tenant != tenant || len(p.Values) == 0 {
			return nil, fmt.Errorf("%w: commitment", ErrInvalid)
		}
		total += len(p.Values)
		for _, x := range p.Values {
			if err := checkValue(p.Subject, x.Field, x.Value); err != nil {
				return nil, err
			}
			if x.Value.Class() == ClassBiometric {
				return nil, fmt.Errorf("%w: commitment to biometrics", ErrInvalid)
			}
			if err := v.mayKeep(tx, p.Subject, x.Value); err != nil {
				return nil, err
			}
		}
	}
	keys, err := v.tenant(tenant)
	if err != nil {
		return nil, err
	}
	known, err := placesOf(tx, keys, c.Env, parties)
	if err != nil {
		return nil, err
	}
	w := sealers.Get().(*sealer)
	defer w.free()
	stored := false
	if !fresh {
		if w.row, stored, err = readSeeds(tx, tenant, c); err != nil {
			return nil, err
		}
	}
	out := make([]Commitment, 0, total)
	sums := make([]byte, 0, total*sha256.Size)
	for i := range parties {
		p := &parties[i]
		key, err := v.evidenceKeyTx(tx, keys, p.Subject)
		if err != nil {
			return nil, err
		}
		at := keys.place(p.Subject.ID, c.Env)
		if !known[i] {
			if err := placeTx(tx, p.Subject, c.Env, at.name); err != nil {
				return nil, err
			}
		}
		w.random = append(w.random[:0], make([]byte, 32+key.NonceSize())...)
		_, _ = rand.Read(w.random)
		body := seedBody{values: w.values[:0]}
		if !fresh {
			if body, err = v.takeSeed(tx, &w.row, p.Subject, c); err != nil {
				return nil, err
			}
		}
		if body.Seed == nil {
			body.Seed = w.random[:32]
		}
		prk := extract(body.Seed)
		for _, x := range p.Values {
			text := x.Value.clearText()
			if !body.add(x.Field, text) {
				return nil, ErrConflict
			}
			s := saltOf(prk, x.Field)
			sum := commitment(s[:], c, x.Field, text)
			sums = append(sums, sum[:]...)
			out = append(out, Commitment{Field: x.Field, C: sums[len(sums)-sha256.Size : len(sums) : len(sums)], K: at.name})
		}
		w.values = body.values
		w.plain = body.encode(w.plain[:0])
		w.aad = appendSeedAAD(w.aad[:0], p.Subject, c)
		from := len(w.sealed)
		w.sealed = v.suite.sealWith(w.sealed, key, evidenceKeyID, w.random[32:], w.plain, w.aad)
		if !w.row.add(at.alias, w.sealed[from:len(w.sealed):len(w.sealed)]) {
			return nil, fmt.Errorf("%w: subject named twice", ErrInvalid)
		}
	}
	w.data = w.row.encode(w.data[:0])
	if key := seedKey(tenant, c); stored {
		err = tx.Put(key, w.data, time.Time{})
	} else {
		err = tx.Create(key, w.data, time.Time{})
	}
	return out, err
}

// evidenceKeyTx is the key for what events commit to of a subject, made where
// there is none; the commit depends on the subject's record.
func (v *Vault) evidenceKeyTx(tx *storage.Tx, keys *tenantKeys, s Subject) (cipher.AEAD, error) {
	rec, _, err := tx.Value(subjects.Key(s.Tenant, s.ID), subjectCodec)
	if err != nil {
		return nil, err
	}
	if rec, ok := rec.(*subjectRecord); ok && rec.EV != nil {
		if rec.State == Erasing || rec.State == Shredded {
			return nil, ErrErased
		}
		return v.evidenceKey(keys, s, rec.EV)
	}
	return v.makeEvidenceKeyTx(tx, s)
}

// makeEvidenceKeyTx stands apart as it needs much stack, and seldom runs.
func (v *Vault) makeEvidenceKeyTx(tx *storage.Tx, s Subject) (cipher.AEAD, error) {
	x, err := v.openSubject(tx, s, true)
	if err != nil {
		return nil, err
	}
	if _, err := x.evidence(true); err != nil {
		return nil, err
	}
	if x.fresh {
		if err := x.put(tx); err != nil {
			return nil, err
		}
	}
	return v.suite.aead(x.ev)
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
	body, err := v.openSeed(tx, x, c)
	if err != nil {
		return nil, err
	}
	out := make([]Opening, 0, len(fields))
	for _, f := range fields {
		val, ok := body.get(f)
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
	body, err := v.openSeed(tx, x, at)
	if err != nil {
		return err
	}
	val, ok := body.get(c.Field)
	if !ok {
		return ErrNotFound
	}
	if !NewOpening(c.Field, salt(body.Seed, c.Field), val).Opens(c.C, at) {
		return ErrKey
	}
	return nil
}
