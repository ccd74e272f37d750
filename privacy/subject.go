package privacy

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A State is where a subject stands.
type State string

const (
	// Active subjects are read and written for declared purposes.
	Active State = "active"
	// Restricted subjects stand in no list; reading needs the purpose
	// authority, holder or dispute and a second approver (T48, D13).
	Restricted State = "restricted"
	// Erasing subjects take nothing new; their keys are about to go.
	Erasing State = "erasing"
	// Shredded subjects have no keys left. There is no way back.
	Shredded State = "shredded"
)

// A Reason is a code for a change of state, kept with it. It is no free text
// and names nobody.
type Reason string

// A Hold stops erasure, and nothing else, until it is lifted or over.
type Hold struct {
	ID    string    `json:"id"`
	By    string    `json:"by"`    // who ordered it
	Basis string    `json:"basis"` // on what ground
	Until time.Time `json:"until"` // zero: until lifted
}

// A subject has three keys, so that each kind of data can go while the others
// stay: the profile's when the person asks (D13, T32), the biometrics' when
// their purpose is over, the evidence's when the law lets go of it (T49).
type subjectRecord struct {
	State     State         `json:"state"`
	DEK       []byte        `json:"dek,omitempty"`    // of the profile, wrapped by the tenant's KEK
	EV        []byte        `json:"ev,omitempty"`     // of what events commit to, likewise
	Bio       []byte        `json:"bio,omitempty"`    // wrapped by the tenant's biometric KEK
	Fields    map[Field]int `json:"fields,omitempty"` // newest version of each
	Last      int           `json:"last,omitempty"`   // newest version of all: none is used twice
	Holds     []Hold        `json:"holds,omitempty"`
	Keep      time.Time     `json:"keep,omitzero"`      // no erasure before (D13)
	Cancelled time.Time     `json:"cancelled,omitzero"` // the account, by its owner (T32)
	Asked     time.Time     `json:"asked,omitzero"`     // erasure, which is finished when Keep is over
	Why       Reason        `json:"why,omitempty"`
	At        time.Time     `json:"at"` // of the last change of state
}

var subjects = storage.Kind[subjectRecord]{Name: "privacy.subject", Schema: 1, Due: subjectRecord.due}

// subjectCodec lets records that are read with every event stay decoded.
var subjectCodec = &storage.Codec{
	Encode: func(v any) ([]byte, error) { return subjects.Encode(*v.(*subjectRecord)) },
	Decode: func(r storage.Record) (any, error) {
		v, err := subjects.Decode(r)
		return &v, err
	},
}

// due is when a sweep finds something to erase; see [Vault.Due].
func (r subjectRecord) due() time.Time {
	var at time.Time
	switch {
	case r.State == Erasing:
		return r.At // what a crash interrupted
	case r.State == Shredded:
		return at
	case !r.Asked.IsZero():
		at = later(r.Asked, r.Keep)
	case !r.Cancelled.IsZero():
		at = r.cooledOff()
	default:
		return at
	}
	for _, h := range r.Holds {
		if h.Until.IsZero() {
			return time.Time{} // lifting it is a write, which asks again
		}
		at = later(at, h.Until)
	}
	return at
}

// cooledOff is the end of the days in which a cancellation can be taken back;
// zero if nothing was cancelled.
func (r subjectRecord) cooledOff() time.Time {
	at, _ := Earliest([]Rule{RuleCancelled}, Facts{Cancelled: r.Cancelled})
	return at
}

// over: the profile is gone as of the instant, whether or not a sweep ran.
func (r subjectRecord) over(now time.Time) bool {
	return !r.Asked.IsZero() || !r.Cancelled.IsZero() && !now.Before(r.cooledOff())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (r subjectRecord) held(now time.Time) bool {
	return slices.ContainsFunc(r.Holds, func(h Hold) bool { return h.Until.IsZero() || now.Before(h.Until) })
}

// Ids of a subject's keys, as sealed values name them.
const (
	subjectKeyID  = "1"
	evidenceKeyID = "2"
)

// subject is a record with its keys, opened as they are needed.
type subject struct {
	subjectRecord
	s            Subject
	dek, ev, bio []byte
	v            *Vault
	keys         *tenantKeys
	now          time.Time
	fresh        bool // not stored yet
}

// openSubject reads a subject; with create it makes what is not there, to be
// stored by put.
func (v *Vault) openSubject(tx *storage.Tx, s Subject, create bool) (*subject, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	keys, err := v.tenant(s.Tenant)
	if err != nil {
		return nil, err
	}
	rec, ok, err := subjects.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return nil, err
	}
	x := &subject{subjectRecord: rec, s: s, v: v, keys: keys, now: tx.Now(v.now)}
	switch {
	case !ok && !create:
		return nil, ErrNotFound
	case !ok:
		x.fresh = true
		x.State, x.At = Active, x.now
	case rec.State == Erasing || rec.State == Shredded:
		return nil, ErrErased
	}
	return x, nil
}

func subjectKeyAAD(s Subject, name string) []byte {
	return lps("countersign/subject-key/v1", s.Tenant, s.ID, name)
}

// unwrap opens a wrapped key, or makes one where there is none.
func (x *subject) unwrap(wrapped *[]byte, kek []byte, name string, create bool) ([]byte, error) {
	aad := subjectKeyAAD(x.s, name)
	if *wrapped != nil {
		return x.v.suite.open(kek, name, *wrapped, aad)
	}
	if !create {
		return nil, ErrErased // there is data, and its key is gone
	}
	x.fresh = true
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	w, err := x.v.suite.seal(kek, name, key, aad)
	if err != nil {
		return nil, fmt.Errorf("privacy: wrap subject key: %w", err)
	}
	*wrapped = w
	return key, nil
}

// key is the key for values of a class; with create it makes one where there is
// none, to be stored by put.
func (x *subject) key(c Class, create bool) (key []byte, err error) {
	if c == ClassBiometric {
		if x.bio == nil {
			x.bio, err = x.unwrap(&x.Bio, x.keys.bio, "bio", create)
		}
		return x.bio, err
	}
	if x.dek == nil {
		x.dek, err = x.unwrap(&x.DEK, x.keys.kek, "dek", create)
	}
	return x.dek, err
}

// evidence is the key for what events commit to.
func (x *subject) evidence(create bool) (key []byte, err error) {
	if x.ev == nil {
		x.ev, err = x.unwrap(&x.EV, x.keys.kek, "ev", create)
	}
	return x.ev, err
}

func (x *subject) put(tx *storage.Tx) error {
	x.fresh = false
	return subjects.Put(tx, x.s.Tenant, x.s.ID, x.subjectRecord)
}

// readable refuses who may not read a restricted subject, or any subject of a
// tenant whose service is over (T48).
func (x *subject) readable(tx *storage.Tx, a Accessor, why Purpose) error {
	restricted, err := x.restricted(tx)
	if err != nil || !restricted {
		return err
	}
	strong := why == PurposeAuthority || why == PurposeHolder || why == PurposeDispute
	if !strong || a.Approver == "" || a.Approver == a.Account {
		return ErrRestricted
	}
	return nil
}

func (x *subject) restricted(tx *storage.Tx) (bool, error) {
	if x.State == Restricted {
		return true, nil
	}
	end, err := x.v.ServiceTx(tx, x.s.Tenant)
	return end.Restricted, err
}

// changeTx applies f to a stored subject; nothing is written if f says false.
func (v *Vault) changeTx(tx *storage.Tx, s Subject, f func(*subjectRecord, time.Time) (bool, error)) error {
	if err := s.check(); err != nil {
		return err
	}
	rec, ok, err := subjects.Get(tx, s.Tenant, s.ID)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	write, err := f(&rec, tx.Now(v.now))
	if err != nil || !write {
		return err
	}
	return subjects.Put(tx, s.Tenant, s.ID, rec)
}

// Alias is the name of a subject inside one envelope's evidence: equal within
// the envelope, unrelated across envelopes, and no way back to the subject
// without the tenant's key. It fails with [ErrLocked].
func (v *Vault) Alias(s Subject, env string) (string, error) {
	k, err := v.tenant(s.Tenant)
	if err != nil {
		return "", err
	}
	return k.place(s.ID, env).name, nil
}
