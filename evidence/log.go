package evidence

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Config is what [New] needs.
type Config struct {
	// LogSigner is the Ed25519 key of the log, which signs checkpoints and
	// bundle manifests. Required.
	LogSigner crypto.Signer
	// Second is an Ed25519 key that signs checkpoints, too, while one key of the log
	// replaces another, so that who knows either can follow it (A4). Let the new key
	// be the second, hand [Log.SecondKey] out, exchange the two, and let go of the old
	// one, whose verifier key goes to Former. nil signs once.
	Second crypto.Signer
	// Origin names the log to the world and in its key: a host name and path
	// such as "sign.example.com/log", without spaces and plus signs. It never
	// changes. Required.
	Origin string
	// Former are verifier keys that the log had before, for what they signed. In trust
	// files they end at the size where they were replaced.
	Former []string
	// Anchors bind checkpoints to somebody outside; without one the verdict on
	// a bundle is INDETERMINATE. The first that accepts a checkpoint is enough.
	// nil are those of esign.New: its TSA, if it has one.
	Anchors []Anchor
	// Store keeps chains and tree. Required; esign.New fills it.
	Store storage.Store
	// Vault commits to personal values. Required; esign.New fills it.
	Vault *privacy.Vault
	// Retire says from when a hash is no longer relied on, by the names "SHA-256"
	// and "SHA-384": evidence records are carried on under SHA-512 180 days
	// before (RFC 4998 §5.2). nil retires none.
	Retire map[string]time.Time
	// Meter charges for reports; nil charges nothing, but esign.New fills it.
	Meter Meter
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger is told what fails in the background; nil is silent.
	Logger *slog.Logger
}

// A Log records what happens to envelopes, each in a hash chain of its own, and
// puts all chains into one Merkle tree. It is safe for concurrent use.
type Log struct {
	signers []noteSigner // of checkpoints; manifests are signed by the first alone
	origin  string
	keys    []logKey // the signers' and former ones
	anchors []Anchor
	store   storage.Store
	vault   *privacy.Vault
	meter   Meter
	retire  map[string]time.Time
	now     func() time.Time
	log     *slog.Logger
}

// New returns a Log. It reads and writes nothing yet.
func New(c Config) (*Log, error) {
	if c.LogSigner == nil || c.Store == nil || c.Vault == nil {
		return nil, errors.New("evidence: config: LogSigner, Store and Vault are required")
	}
	if !validOrigin(c.Origin) {
		return nil, errors.New("evidence: config: Origin is empty, too long or has spaces or plus signs")
	}
	l := &Log{origin: c.Origin, anchors: slices.Clone(c.Anchors),
		store: c.Store, vault: c.Vault, meter: c.Meter, retire: maps.Clone(c.Retire), now: c.Now, log: c.Logger}
	for i, key := range []crypto.Signer{c.LogSigner, c.Second} {
		if key == nil {
			continue
		}
		pub, ok := key.Public().(ed25519.PublicKey)
		if !ok || i > 0 && pub.Equal(c.LogSigner.Public()) {
			return nil, errors.New("evidence: config: LogSigner and Second are not Ed25519 keys, one each")
		}
		s := newNoteSigner(c.Origin, pub, key)
		l.signers, l.keys = append(l.signers, s), append(l.keys, logKey{Verifier: s.verify})
	}
	for _, k := range c.Former {
		v, err := note.NewVerifier(k)
		if err != nil || v.Name() != c.Origin {
			return nil, errors.New("evidence: config: Former has a key that is not this log's")
		}
		l.keys = append(l.keys, logKey{Verifier: v})
	}
	seen := map[string]bool{}
	for i, a := range l.anchors {
		if w, ok := a.(Witness); ok {
			w.prove = l.Consistency
			l.anchors[i] = w
		}
		if a == nil || !validAnchorName(a.Name()) || seen[a.Name()] {
			return nil, errors.New("evidence: config: an anchor has no name of its own of a-z, 0-9 and -")
		}
		seen[a.Name()] = true
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l, nil
}

// VerifierKey is the log's public key in the form of a trust file: the line
// "log " + VerifierKey() makes verifiers trust this log.
func (l *Log) VerifierKey() string { return l.signers[0].verifier }

// SecondKey is the public key of Config.Second in that form; empty without one.
func (l *Log) SecondKey() string {
	if len(l.signers) < 2 {
		return ""
	}
	return l.signers[1].verifier
}

// Trust is in the keys of this log, those of Config.Second and Config.Former too, and
// in nobody else: the operator's own view of its bundles, old ones too.
func (l *Log) Trust() *Trust { return &Trust{logs: slices.Clone(l.keys)} }

// Origin is the log's name.
func (l *Log) Origin() string { return l.origin }

func validOrigin(s string) bool {
	return s != "" && len(s) <= 200 && !strings.Contains(s, "+") && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r < 0x20 || r > 0x7e
	}) < 0
}

// A noteSigner signs notes as the log; it is a note.Signer.
type noteSigner struct {
	name, verifier string
	verify         note.Verifier
	hash           uint32
	key            crypto.Signer
}

var _ note.Signer = noteSigner{}

func newNoteSigner(name string, pub ed25519.PublicKey, key crypto.Signer) noteSigner {
	// note.NewEd25519VerifierKey fails only for a key of the wrong size.
	vkey, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		panic("evidence: " + err.Error())
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		panic("evidence: " + err.Error())
	}
	return noteSigner{name: name, verifier: vkey, verify: v, hash: v.KeyHash(), key: key}
}

func (s noteSigner) Name() string    { return s.name }
func (s noteSigner) KeyHash() uint32 { return s.hash }

// Sign implements note.Signer. A nil reader is right: Ed25519 needs none.
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return s.key.Sign(nil, msg, crypto.Hash(0)) }

// A Draft is what a caller says of an event; the Log adds what it knows. The
// commit it joins holds the state change that the event is about.
type Draft struct {
	Tenant, Env string
	Type        string         // a name of [Types]
	Eff         time.Time      // zero: the recording instant
	Actor       Actor          // ID required
	Docs        []DocChange    // in any order
	Auth        []Auth         //
	Req, X      map[string]any // strings, bools, ints, []any and maps of them; keys of a-z, 0-9, _
	Personal    []Personal     // committed to, never stored in the event
}

// Personal is a value to commit to. The value itself goes to the vault.
type Personal struct {
	Subject privacy.Subject // of the draft's tenant
	Field   privacy.Field   // empty: the value's own
	Value   privacy.Value
}

// A Ref points at an event.
type Ref struct {
	Tenant string      `json:"tenant"`
	Env    string      `json:"env"`
	Seq    uint64      `json:"seq"`
	Hash   storage.Hex `json:"hash"` // SHA-256 of its canonical bytes
}

// chainHead is the record of a chain; the stream of events has its key. Its
// compare-and-swap is what makes a forked chain impossible.
type chainHead struct {
	Seq    uint64      `json:"seq"`
	Hash   storage.Hex `json:"hash"`
	At     time.Time   `json:"at"`
	Sealed uint64      `json:"sealed,omitempty"` // seq of the newest chain seal
	Due    time.Time   `json:"due,omitzero"`     // since when the tree lacks an event
	// Known are the aliases of subjects that events committed to something of, or
	// the first of them: the vault need not look for those.
	Known []string `json:"known,omitempty"`
}

// maxKnown bounds the aliases in a head.
const maxKnown = 16

var chains = pack(storage.Kind[chainHead]{Name: "evidence.chain", Schema: 1, Due: func(h chainHead) time.Time { return h.Due }}, false, putHead, getHead)

// AppendTx adds an event to its envelope's chain in the caller's commit:
// neither is there without the other. The tenant's keys must be unlocked if the
// draft has personal values.
//
// It fails with [ErrDraft], [ErrType], [ErrSealed], or the vault's errors.
func (l *Log) AppendTx(ctx context.Context, tx *storage.Tx, d Draft) (Ref, error) {
	if d.Type == TypeSealed {
		return Ref{}, fmt.Errorf("%w: use SealChainTx", ErrType)
	}
	return l.append(tx, &d)
}

// Append is [Log.AppendTx] in a commit of its own.
func (l *Log) Append(ctx context.Context, d Draft) (Ref, error) {
	if len(d.Personal) > 0 {
		if err := l.vault.Unlock(ctx, d.Tenant); err != nil {
			return Ref{}, err
		}
	}
	return storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (Ref, error) { return l.AppendTx(ctx, tx, d) })
}

// A SealDraft closes a chain.
type SealDraft struct {
	Tenant, Env string
	Eff         time.Time
	Actor       Actor
	Docs        []DocChange // what each document is at the end: ID, Rev, After
	Req         map[string]any
}

// SealChainTx ends the chain of an envelope in the commit that ends the
// envelope. Only types with After may follow, and a later seal covers them.
// It fails with [ErrNotFound] for a chain without events.
func (l *Log) SealChainTx(ctx context.Context, tx *storage.Tx, d SealDraft) (Ref, error) {
	if err := checkChain(d.Tenant, d.Env); err != nil {
		return Ref{}, err
	}
	h, ok, err := chains.Get(tx, d.Tenant, d.Env)
	if err != nil {
		return Ref{}, err
	}
	if !ok {
		return Ref{}, ErrNotFound
	}
	return l.append(tx, &Draft{Tenant: d.Tenant, Env: d.Env, Type: TypeSealed, Eff: d.Eff, Actor: d.Actor, Docs: d.Docs, Req: d.Req,
		X: map[string]any{"count": h.Seq, "head": h.Hash.String()}})
}

// SealChain is [Log.SealChainTx] in a commit of its own.
func (l *Log) SealChain(ctx context.Context, d SealDraft) (Ref, error) {
	return storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (Ref, error) { return l.SealChainTx(ctx, tx, d) })
}

func (l *Log) append(tx *storage.Tx, d *Draft) (Ref, error) {
	if err := checkChain(d.Tenant, d.Env); err != nil {
		return Ref{}, err
	}
	h, ok, err := chains.Get(tx, d.Tenant, d.Env)
	if err != nil {
		return Ref{}, err
	}
	now := tx.Now(l.now)
	e := Event{Env: d.Env, Seq: h.Seq + 1, Type: d.Type, At: now, Prev: h.Hash, Actor: d.Actor, Docs: d.Docs, Auth: d.Auth,
		Req: d.Req, X: d.X}
	if !ok {
		e.Prev = Genesis(l.origin, d.Tenant, d.Env)
	}
	if now.Before(h.At) {
		e.At, e.Back = h.At, true
	}
	if eff := d.Eff.UTC().Truncate(time.Microsecond); !d.Eff.IsZero() && !eff.Equal(e.At) {
		e.Eff = eff
	}
	if len(l.anchors) > 0 {
		if e.NotBefore, err = newestToken(tx); err != nil {
			return Ref{}, err
		}
	}
	// Everything that needs no vault is checked before the vault writes.
	if err := e.checkType(h.Sealed > 0); err != nil {
		return Ref{}, err
	}
	if err := e.check(); err != nil {
		return Ref{}, err
	}
	if e.Personal, err = l.commit(tx, &e, d, &h); err != nil {
		return Ref{}, err
	}
	room := raws.Get().(*[]byte)
	defer raws.Put(room)
	if e.raw, err = e.encode((*room)[:0]); err != nil {
		return Ref{}, err
	}
	*room = e.raw[:0]
	key := chains.Key(d.Tenant, d.Env)
	seq, err := tx.Append(key, e.raw)
	if err != nil {
		return Ref{}, err
	}
	if seq != e.Seq {
		return Ref{}, &TamperError{Env: d.Env, Seq: min(seq, e.Seq), What: "head and events differ in length"}
	}
	h.Seq, h.Hash, h.At = e.Seq, e.Hash(), e.At
	if d.Type == TypeSealed {
		h.Sealed = e.Seq
	}
	if h.Due.IsZero() {
		h.Due = now
	}
	if err := chains.Put(tx, d.Tenant, d.Env, h); err != nil {
		return Ref{}, err
	}
	return Ref{Tenant: d.Tenant, Env: d.Env, Seq: e.Seq, Hash: h.Hash}, nil
}

// raws are buffers for events, which the store copies.
var raws = sync.Pool{New: func() any {
	b := make([]byte, 0, 2048)
	return &b
}}

// commit commits to the personal values of a draft, subject by subject; the
// commitments stand in the order of the draft's subjects.
func (l *Log) commit(tx *storage.Tx, e *Event, d *Draft, h *chainHead) ([]Committed, error) {
	if len(d.Personal) == 0 {
		return nil, nil
	}
	var room [4]privacy.Party
	parties, values := room[:0], make([]privacy.Committing, 0, len(d.Personal))
	for i := range d.Personal {
		s := d.Personal[i].Subject
		if s.Tenant != d.Tenant {
			return nil, fmt.Errorf("%w: personal value of another tenant, or none", ErrDraft)
		}
		if slices.ContainsFunc(parties, func(o privacy.Party) bool { return o.Subject == s }) {
			continue
		}
		from := len(values)
		for j := i; j < len(d.Personal); j++ {
			p := &d.Personal[j]
			if p.Value == nil {
				return nil, fmt.Errorf("%w: personal value of another tenant, or none", ErrDraft)
			}
			if p.Subject != s {
				continue
			}
			f := p.Field
			if f == "" {
				f = p.Value.Field()
			}
			values = append(values, privacy.Committing{Field: f, Value: p.Value})
		}
		alias, err := l.vault.Alias(s, d.Env)
		if err != nil {
			return nil, err
		}
		known := slices.Contains(h.Known, alias)
		if !known && len(h.Known) < maxKnown {
			h.Known = append(slices.Clip(h.Known), alias)
		}
		parties = append(parties, privacy.Party{Subject: s, Values: values[from:len(values):len(values)], Known: known})
	}
	return l.vault.CommitNewTx(tx, privacy.Context{Env: d.Env, Seq: e.Seq}, parties)
}

func checkChain(tenant, env string) error {
	if tenant == "" || env == "" || len(env) > MaxID {
		return fmt.Errorf("%w: tenant or envelope", ErrDraft)
	}
	return nil
}
