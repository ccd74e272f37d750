package privacy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Subject is a person or an organisation inside one tenant. The same person
// in two tenants is two subjects with two keys.
type Subject struct {
	Tenant string
	ID     string // the host's pseudonymous id, at most [MaxID] bytes; never a phone number or a name
}

func (s Subject) check() error {
	if s.Tenant == "" || s.Tenant == storage.Deployment || s.ID == "" || len(s.ID) > MaxID {
		return fmt.Errorf("%w: subject", ErrInvalid)
	}
	return nil
}

// A Ref points at one version of one field of a subject. It holds nothing
// personal and is what other packages keep.
type Ref struct {
	Tenant  string `json:"tenant"`
	Subject string `json:"subject"`
	Field   Field  `json:"field"`
	Version int    `json:"version"`
}

// IsZero reports whether r points at nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Config is what [New] needs.
type Config struct {
	// Root wraps the tenants' keys. Required.
	Root KeyWrapper
	// Former roots still unwrap keys until [Vault.Rewrap] has replaced them.
	Former []KeyWrapper
	// Purposes are the codes of the notice in force; nil is [DefaultPurposes].
	Purposes []Purpose
	// Suite seals values; zero is AES-256-GCM.
	Suite Suite
	// Locations lets a [Location] be stored, of subjects who consented to the
	// scope [ScopeLocation] (P11); false stores none.
	Locations bool
	// Store keeps keys, values and the access log. Required; esign.New fills it.
	Store storage.Store
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger is told about keys made, never about values; nil is silent.
	Logger *slog.Logger
}

// A Vault keeps personal data sealed under one key per subject, opens it for a
// purpose and on the record, and forgets a subject by destroying its key. It is
// safe for concurrent use.
type Vault struct {
	root     KeyWrapper
	roots    map[string]KeyWrapper
	purposes []Purpose
	suite    Suite
	places   bool
	store    storage.Store
	now      func() time.Time
	log      *slog.Logger

	mu   sync.RWMutex
	keys map[string]*tenantKeys
}

// New returns a Vault. It reads and writes nothing yet. It fails with [ErrConfig].
func New(c Config) (*Vault, error) {
	if c.Root == nil || c.Store == nil {
		return nil, fmt.Errorf("%w: Root and Store are required", ErrConfig)
	}
	if c.Suite.New == nil {
		if c.Suite.ID != "" || c.Suite.KeySize != 0 {
			return nil, fmt.Errorf("%w: Suite has no New", ErrConfig)
		}
		c.Suite = aesGCM
	}
	if len(c.Suite.ID) == 0 || len(c.Suite.ID) > 32 || c.Suite.KeySize < 0 || c.Suite.KeySize > 32 {
		return nil, fmt.Errorf("%w: Suite id or key size", ErrConfig)
	}
	v := &Vault{root: c.Root, roots: map[string]KeyWrapper{}, purposes: append([]Purpose(nil), c.Purposes...), suite: c.Suite, places: c.Locations,
		store: c.Store, now: c.Now, log: c.Logger, keys: map[string]*tenantKeys{}}
	for _, r := range append([]KeyWrapper{c.Root}, c.Former...) {
		if r == nil || r.KeyID() == "" || len(r.KeyID()) > MaxID {
			return nil, fmt.Errorf("%w: a root key has no id of 1 to 64 bytes", ErrConfig)
		}
		if _, ok := v.roots[r.KeyID()]; !ok {
			v.roots[r.KeyID()] = r
		}
	}
	if c.Purposes == nil {
		v.purposes = DefaultPurposes()
	}
	for _, p := range v.purposes {
		if p == "" {
			return nil, fmt.Errorf("%w: empty purpose", ErrConfig)
		}
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	return v, nil
}

// tenantKeys are a tenant's keys in the clear, in memory only.
type tenantKeys struct {
	kek, bio            []byte   // wrap the subjects' keys
	index, alias, blind []byte   // derived from one key that never rotates
	blindPRK            [32]byte // what is derived from blind begins with it
	kept                keyCache
	places              placeCache
}

type wrappedKey struct {
	Root string `json:"root"`
	Key  []byte `json:"key"`
}

type tenantRecord struct {
	KEK   wrappedKey `json:"kek"`
	Bio   wrappedKey `json:"bio"`
	Index wrappedKey `json:"index"`
}

var tenants = storage.Kind[tenantRecord]{Name: "privacy.tenant", Schema: 1}

const tenantKeysID = "keys"

func (r *tenantRecord) each(f func(name string, w *wrappedKey) error) error {
	for _, k := range []struct {
		name string
		w    *wrappedKey
	}{{"kek", &r.KEK}, {"bio", &r.Bio}, {"index", &r.Index}} {
		if err := f(k.name, k.w); err != nil {
			return err
		}
	}
	return nil
}

func tenantAAD(tenant, name string) []byte { return lps("countersign/tenant-key/v1", tenant, name) }

// Unlock brings a tenant's keys into memory, making them on first use. The
// root key may be far away, so this is the one call that asks it; it must come
// before storage.Update, never within. Further calls cost nothing. It fails with
// [ErrInvalid] for no tenant, with [ErrKey] where no root of the [Config] opens the
// keys, and with the error of the root.
func (v *Vault) Unlock(ctx context.Context, tenant string) error {
	if tenant == "" || tenant == storage.Deployment {
		return fmt.Errorf("%w: tenant", ErrInvalid)
	}
	if _, err := v.tenant(tenant); err == nil {
		return nil
	}
	rec, ok, err := v.tenantRecord(ctx, tenant)
	if err != nil {
		return err
	}
	if !ok {
		var fresh tenantRecord
		err := fresh.each(func(name string, w *wrappedKey) error {
			key := make([]byte, 32)
			_, _ = rand.Read(key)
			b, err := v.root.Wrap(ctx, key, tenantAAD(tenant, name))
			*w = wrappedKey{Root: v.root.KeyID(), Key: b}
			return err
		})
		if err != nil {
			return fmt.Errorf("privacy: wrap tenant key: %w", err)
		}
		err = storage.Update(ctx, v.store, func(tx *storage.Tx) error {
			had, ok, err := tenants.Get(tx, tenant, tenantKeysID)
			if err != nil {
				return err
			}
			if ok { // somebody else was first: theirs are the keys
				rec = had
				return nil
			}
			rec = fresh
			return tenants.Create(tx, tenant, tenantKeysID, fresh)
		})
		if err != nil {
			return fmt.Errorf("privacy: tenant key: %w", err)
		}
		v.log.InfoContext(ctx, "privacy: tenant keys ready")
	}
	clear := map[string][]byte{}
	if err := rec.each(func(name string, w *wrappedKey) error {
		root, ok := v.roots[w.Root]
		if !ok {
			return fmt.Errorf("%w: root key unknown", ErrKey)
		}
		key, err := root.Unwrap(ctx, w.Key, tenantAAD(tenant, name))
		if err == nil && len(key) != 32 {
			err = ErrKey
		}
		clear[name] = key
		return err
	}); err != nil {
		return fmt.Errorf("privacy: unwrap tenant key: %w", err)
	}
	keys := &tenantKeys{kek: clear["kek"], bio: clear["bio"],
		index: derive(clear["index"], "countersign/index/v1"),
		alias: derive(clear["index"], "countersign/alias/v1"),
		blind: derive(clear["index"], "countersign/blind/v1")}
	keys.blindPRK = extract(keys.blind)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[tenant] = keys
	return nil
}

// Lock drops a tenant's keys from memory.
func (v *Vault) Lock(tenant string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.keys, tenant)
}

// Rewrap puts a tenant's keys under the current root. The keys themselves, and
// so every sealed value, stay as they are. It fails with [ErrNotFound] for a tenant
// without keys, and as [Vault.Unlock] does.
func (v *Vault) Rewrap(ctx context.Context, tenant string) error {
	rec, ok, err := v.tenantRecord(ctx, tenant)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotFound
	}
	next := rec
	err = next.each(func(name string, w *wrappedKey) error {
		root, ok := v.roots[w.Root]
		if !ok {
			return fmt.Errorf("%w: root key unknown", ErrKey)
		}
		key, err := root.Unwrap(ctx, w.Key, tenantAAD(tenant, name))
		if err != nil {
			return err
		}
		b, err := v.root.Wrap(ctx, key, tenantAAD(tenant, name))
		*w = wrappedKey{Root: v.root.KeyID(), Key: b}
		return err
	})
	if err != nil {
		return fmt.Errorf("privacy: rewrap tenant key: %w", err)
	}
	return storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		now, ok, err := tenants.Get(tx, tenant, tenantKeysID)
		if err != nil || !ok {
			return errors.Join(err, ErrNotFound)
		}
		if string(now.KEK.Key) != string(rec.KEK.Key) {
			return nil // rewrapped by another process meanwhile
		}
		return tenants.Put(tx, tenant, tenantKeysID, next)
	})
}

func (v *Vault) tenantRecord(ctx context.Context, tenant string) (tenantRecord, bool, error) {
	recs, err := v.store.Get(ctx, []storage.Key{tenants.Key(tenant, tenantKeysID)})
	if err != nil {
		return tenantRecord{}, false, fmt.Errorf("privacy: tenant key: %w", err)
	}
	if recs[0].Version == 0 {
		return tenantRecord{}, false, nil
	}
	rec, err := tenants.Decode(recs[0])
	return rec, true, err
}

func (v *Vault) tenant(tenant string) (*tenantKeys, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k, ok := v.keys[tenant]
	if !ok {
		return nil, ErrLocked
	}
	return k, nil
}

// valueRecord is one sealed value; T says which type it had. By is who handed it
// in, if not the subject (P09).
type valueRecord struct {
	T  Field     `json:"t"`
	C  []byte    `json:"c"`
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

var values = storage.Kind[valueRecord]{Name: "privacy.value", Schema: 1}

func valueID(subject string, f Field, version int) string {
	return storage.JoinID(subject, string(f), strconv.Itoa(version))
}

func parseValueID(tenant, id string) (Ref, error) {
	parts, err := storage.SplitID(id)
	if err != nil || len(parts) != 3 {
		return Ref{}, fmt.Errorf("privacy: value id: %w", storage.ErrCorrupt)
	}
	n, err := strconv.Atoi(parts[2])
	if err != nil {
		return Ref{}, fmt.Errorf("privacy: value id: %w", storage.ErrCorrupt)
	}
	return Ref{tenant, parts[0], Field(parts[1]), n}, nil
}

func valueAAD(r Ref, t Field) []byte {
	return lps("countersign/value/v1", r.Tenant, values.Name, r.Subject, string(r.Field), strconv.Itoa(r.Version), string(t))
}

// PutTx seals a value as the newest version of a field and returns where it is;
// the value that is there already answers with its own Ref. Where ctx has an
// [Accessor], its account is kept as where the value came from (P09). It fails with
// [ErrLocked], [ErrErased], [ErrRestricted], [ErrNoConsent] for a location, or
// [ErrInvalid].
func (v *Vault) PutTx(ctx context.Context, tx *storage.Tx, s Subject, f Field, val Value) (Ref, error) {
	if err := checkValue(s, f, val); err != nil {
		return Ref{}, err
	}
	if err := v.mayKeep(tx, s, val); err != nil {
		return Ref{}, err
	}
	rec, err := v.openSubject(tx, s, true)
	if err != nil {
		return Ref{}, err
	}
	if rec.State == Restricted {
		return Ref{}, ErrRestricted
	}
	if n := rec.Fields[f]; n > 0 {
		old := Ref{s.Tenant, s.ID, f, n}
		if was, err := v.read(tx, rec, old); err != nil {
			return Ref{}, err
		} else if Equal(was, val) {
			return old, nil
		}
	}
	key, err := rec.key(val.Class(), true)
	if err != nil {
		return Ref{}, err
	}
	if rec.Fields == nil {
		rec.Fields = map[Field]int{}
	}
	rec.Last++
	rec.Fields[f] = rec.Last
	r := Ref{s.Tenant, s.ID, f, rec.Last}
	c, err := v.suite.seal(key, subjectKeyID, []byte(val.clearText()), valueAAD(r, val.Field()))
	if err != nil {
		return Ref{}, fmt.Errorf("privacy: seal: %w", err)
	}
	row := valueRecord{T: val.Field(), C: c, At: rec.now}
	if a, err := accessorOf(ctx); err == nil && !a.insecure && a.Tenant == s.Tenant && a.Account != s.ID {
		row.By = a.Account
	}
	if err := values.Create(tx, s.Tenant, valueID(s.ID, f, r.Version), row); err != nil {
		return Ref{}, err
	}
	return r, rec.put(tx)
}

// Put is [Vault.PutTx] in a commit of its own.
func (v *Vault) Put(ctx context.Context, s Subject, f Field, val Value) (Ref, error) {
	if err := v.Unlock(ctx, s.Tenant); err != nil {
		return Ref{}, err
	}
	return storage.UpdateValue(ctx, v.store, func(tx *storage.Tx) (Ref, error) { return v.PutTx(ctx, tx, s, f, val) })
}

// ForgetTx removes one version of a value whose purpose is over (P16), such as
// the text of a message that went out; one that is not there is no error. The
// subject's key stays, so until the store reuses the row's bytes the key opens
// them; erasing the subject is what makes data unreadable for good.
func (v *Vault) ForgetTx(ctx context.Context, tx *storage.Tx, r Ref) error {
	return v.changeTx(tx, Subject{r.Tenant, r.Subject}, func(rec *subjectRecord, _ time.Time) (bool, error) {
		if rec.State == Shredded {
			return false, nil
		}
		key := values.Key(r.Tenant, valueID(r.Subject, r.Field, r.Version))
		rows, err := tx.Get(key)
		if err != nil || rows[0].Version == 0 {
			return false, err
		}
		if rec.Fields[r.Field] == r.Version {
			delete(rec.Fields, r.Field)
		}
		return true, tx.Delete(key)
	})
}

// RevealTx opens a value for a purpose; the access entry joins the caller's
// commit. What it returns must not be used if that commit does not succeed. It
// answers for this purpose without another entry.
//
// It fails with [ErrNoAccessor], [ErrPurpose], [ErrNotFound] (also for a value
// of another tenant than the accessor's), [ErrErased], [ErrRestricted],
// [ErrNoConsent] for an integrator without the subject's consent, or [ErrLocked].
func (v *Vault) RevealTx(ctx context.Context, tx *storage.Tx, r Ref, why Purpose) (Value, error) {
	a, err := accessorOf(ctx)
	if err != nil {
		return nil, err
	}
	if a.insecure { // loose values only: a vault always keeps its log
		return nil, ErrNoAccessor
	}
	if err := v.purpose(why); err != nil {
		return nil, err
	}
	if a.Tenant != r.Tenant {
		return nil, ErrNotFound
	}
	s := Subject{r.Tenant, r.Subject}
	if s.check() != nil || !r.Field.Valid() || r.Version < 1 {
		return nil, ErrNotFound
	}
	rec, err := v.openSubject(tx, s, false)
	if err != nil {
		return nil, err
	}
	if err := rec.readable(tx, a.Accessor, why); err != nil {
		return nil, err
	}
	val, err := v.read(tx, rec, r)
	if err != nil {
		return nil, err
	}
	if err := v.integrator(tx, s, a.Accessor, why, val.Class()); err != nil {
		return nil, err
	}
	if err := v.logAccess(tx, s, a.Accessor, why, []Field{r.Field}, ""); err != nil {
		return nil, err
	}
	return val.granted(why), nil
}

// Reveal is [Vault.RevealTx] in a commit of its own: it returns nothing unless
// the access is on record. It must not be called inside storage.Update.
func (v *Vault) Reveal(ctx context.Context, r Ref, why Purpose) (Value, error) {
	if _, err := accessorOf(ctx); err != nil {
		return nil, err
	}
	if err := v.Unlock(ctx, r.Tenant); err != nil {
		return nil, err
	}
	return storage.UpdateValue(ctx, v.store, func(tx *storage.Tx) (Value, error) { return v.RevealTx(ctx, tx, r, why) })
}

// MaskedTx is the masked form of a value, which needs no purpose and leaves no
// entry. It fails with [ErrErased], [ErrRestricted], [ErrNotFound] or [ErrLocked].
func (v *Vault) MaskedTx(tx *storage.Tx, r Ref) (string, error) {
	rec, err := v.openSubject(tx, Subject{r.Tenant, r.Subject}, false)
	if err != nil {
		return "", err
	}
	if restricted, err := rec.restricted(tx); err != nil {
		return "", err
	} else if restricted {
		return "", ErrRestricted
	}
	val, err := v.read(tx, rec, r)
	if err != nil {
		return "", err
	}
	return val.Masked(), nil
}

func (v *Vault) read(tx *storage.Tx, rec *subject, r Ref) (Value, error) {
	if rec.over(rec.now) {
		return nil, ErrErased // whether or not a sweep ran
	}
	row, ok, err := values.Get(tx, r.Tenant, valueID(r.Subject, r.Field, r.Version))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotFound
	}
	class := ClassPersonal
	if row.T == FieldBiometric {
		class = ClassBiometric
	}
	key, err := rec.key(class, false)
	if err != nil {
		return nil, err
	}
	plain, err := v.suite.open(key, subjectKeyID, row.C, valueAAD(r, row.T))
	if err != nil {
		return nil, err
	}
	return restore(row.T, string(plain))
}

// BlindIndex is the key under which equal values of a tenant meet and nothing
// else can be learnt: HMAC-SHA-256 of type and normalised value under the
// tenant's index key. It fails with [ErrLocked].
func (v *Vault) BlindIndex(tenant string, val Value) ([]byte, error) {
	if val == nil || val.IsZero() {
		return nil, fmt.Errorf("%w: nothing to index", ErrInvalid)
	}
	k, err := v.tenant(tenant)
	if err != nil {
		return nil, err
	}
	return mac(k.index, string(val.Field()), val.clearText()), nil
}

// BlindEnv is the key that hides an envelope's id in the log: derived per
// envelope, so that disclosing it discloses one envelope. It fails with
// [ErrLocked].
func (v *Vault) BlindEnv(tenant, env string) ([]byte, error) {
	k, err := v.tenant(tenant)
	if err != nil {
		return nil, err
	}
	out := expand(k.blindPRK, lp(append(make([]byte, 0, 128), "countersign/blind-env/v1"...), env))
	return out[:], nil
}

func checkValue(s Subject, f Field, val Value) error {
	if err := s.check(); err != nil {
		return err
	}
	if !f.Valid() {
		return fmt.Errorf("%w: field", ErrInvalid)
	}
	if val == nil || val.IsZero() {
		return fmt.Errorf("%w: empty value", ErrInvalid)
	}
	return nil
}
