package privacy

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// Seeds and values of an event are one record, sealed apart for each subject, so
// that an event costs one row however many people it mentions. The record is in a
// compact form, as is what is sealed:
//
//	0x81  1  count  { alias (16 bytes)  length  sealed }
//	0x81  1  seed (32 bytes)  count  { length  field  length  value }
//
// with numbers as varints. Records under subject, envelope and seq, in JSON, are
// those of releases before; they are read, and moved here when they change.
const (
	seedMark   = 0x81
	seedSchema = 1
	aliasSize  = 16
)

// eventSeeds is what is kept of an event.
type eventSeeds struct{ sealed []sealedSeed }

type sealedSeed struct {
	alias [aliasSize]byte
	c     []byte
}

// seedBody is seed and values of one subject at one event, in the clear.
type seedBody struct {
	Seed   []byte
	values []committed
}

type committed struct {
	field Field
	text  string
}

func (b *seedBody) get(f Field) (string, bool) {
	for i := range b.values {
		if b.values[i].field == f {
			return b.values[i].text, true
		}
	}
	return "", false
}

// add reports false if the field is there.
func (b *seedBody) add(f Field, text string) bool {
	if _, dup := b.get(f); dup {
		return false
	}
	b.values = append(b.values, committed{f, text})
	return true
}

func (b *seedBody) encode(dst []byte) []byte {
	dst = append(append(dst, seedMark, seedSchema), b.Seed...)
	dst = binary.AppendUvarint(dst, uint64(len(b.values)))
	for i := range b.values {
		dst = append(binary.AppendUvarint(dst, uint64(len(b.values[i].field))), b.values[i].field...)
		dst = append(binary.AppendUvarint(dst, uint64(len(b.values[i].text))), b.values[i].text...)
	}
	return dst
}

// decodeSeed reads what was sealed. It never quotes it.
func decodeSeed(b []byte) (out seedBody, err error) {
	if len(b) > 0 && b[0] == '{' { // of releases before
		var old struct {
			Seed   []byte           `json:"seed"`
			Values map[Field]string `json:"values"`
		}
		if json.Unmarshal(b, &old) != nil || len(old.Seed) != 32 || old.Values == nil {
			return out, ErrKey
		}
		out.Seed = old.Seed
		for f, text := range old.Values {
			out.values = append(out.values, committed{f, text})
		}
		return out, nil
	}
	r := seedReader{b: b}
	if !r.mark() {
		return out, ErrKey
	}
	out.Seed = r.take(32)
	for n := r.count(); n > 0 && !r.bad; n-- {
		f := Field(r.take(r.count()))
		if !out.add(f, string(r.take(r.count()))) {
			r.bad = true
		}
	}
	if r.bad || len(r.b) > 0 {
		return seedBody{}, ErrKey
	}
	return out, nil
}

func (e *eventSeeds) find(alias [aliasSize]byte) int {
	for i := range e.sealed {
		if e.sealed[i].alias == alias {
			return i
		}
	}
	return -1
}

// add reports false if there is a seed under the alias.
func (e *eventSeeds) add(alias [aliasSize]byte, c []byte) bool {
	if e.find(alias) >= 0 {
		return false
	}
	e.sealed = append(e.sealed, sealedSeed{alias, c})
	return true
}

func (e *eventSeeds) remove(i int) { e.sealed = append(e.sealed[:i], e.sealed[i+1:]...) }

func (e *eventSeeds) encode(dst []byte) []byte {
	b := binary.AppendUvarint(append(dst, seedMark, seedSchema), uint64(len(e.sealed)))
	for i := range e.sealed {
		b = append(b, e.sealed[i].alias[:]...)
		b = append(binary.AppendUvarint(b, uint64(len(e.sealed[i].c))), e.sealed[i].c...)
	}
	return b
}

func decodeSeeds(b []byte) (out eventSeeds, err error) {
	r := seedReader{b: b}
	ok := r.mark()
	for n := r.count(); n > 0 && !r.bad; n-- {
		var alias [aliasSize]byte
		copy(alias[:], r.take(aliasSize))
		if !out.add(alias, r.take(r.count())) {
			r.bad = true
		}
	}
	if !ok || r.bad || len(r.b) > 0 {
		return eventSeeds{}, fmt.Errorf("%w: %s does not decode", storage.ErrCorrupt, seedKind)
	}
	return out, nil
}

// seedReader takes fields off; after a failure it yields nothing.
type seedReader struct {
	b   []byte
	bad bool
}

func (r *seedReader) mark() bool {
	m := r.take(2)
	return len(m) == 2 && m[0] == seedMark && m[1] == seedSchema
}

func (r *seedReader) count() int {
	n, k := binary.Uvarint(r.b)
	if k <= 0 || n > uint64(len(r.b)-k) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return int(n)
}

func (r *seedReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

const seedKind = "privacy.seed"

func seqID(seq uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[15-i] = digits[seq>>(4*i)&15]
	}
	return string(b[:])
}

func seedKey(tenant string, c Context) storage.Key {
	return storage.Key{Tenant: tenant, Kind: seedKind, ID: storage.JoinID(c.Env, seqID(c.Seq))}
}

func appendSeedAAD(dst []byte, s Subject, c Context) []byte {
	b := lp(dst, "countersign/seed/v2")
	b = lp(lp(lp(b, s.Tenant), seedKind), s.ID)
	return binary.BigEndian.AppendUint64(lp(b, c.Env), c.Seq)
}

// oldSeed is the sealed seed and values of one subject at one event, as releases
// before kept them.
type oldSeed struct {
	C []byte `json:"c"`
}

var oldSeeds = storage.Kind[oldSeed]{Name: seedKind, Schema: 1}

func oldSeedID(subject string, c Context) string {
	return storage.JoinID(subject, c.Env, seqID(c.Seq))
}

func oldSeedAAD(s Subject, c Context) []byte {
	return lps("countersign/seed/v1", s.Tenant, seedKind, s.ID, c.Env, seqID(c.Seq))
}

// readSeeds reads the record of an event.
func readSeeds(tx *storage.Tx, tenant string, c Context) (row eventSeeds, ok bool, err error) {
	recs, err := tx.Get(seedKey(tenant, c))
	if err != nil || recs[0].Version == 0 {
		return row, false, err
	}
	row, err = decodeSeeds(recs[0].Data)
	return row, err == nil, err
}

// openSeed opens seed and values of a subject at an event, or [ErrNotFound].
func (v *Vault) openSeed(tx *storage.Tx, x *subject, c Context) (seedBody, error) {
	row, _, err := readSeeds(tx, x.s.Tenant, c)
	if err != nil {
		return seedBody{}, err
	}
	if i := row.find(x.keys.place(x.s.ID, c.Env).alias); i >= 0 {
		return v.unsealSeed(x, row.sealed[i].c, appendSeedAAD(nil, x.s, c))
	}
	old, ok, err := oldSeeds.Get(tx, x.s.Tenant, oldSeedID(x.s.ID, c))
	if err != nil {
		return seedBody{}, err
	}
	if !ok {
		return seedBody{}, ErrNotFound
	}
	return v.unsealSeed(x, old.C, oldSeedAAD(x.s, c))
}

func (v *Vault) unsealSeed(x *subject, sealed, aad []byte) (seedBody, error) {
	key, err := x.evidence(false)
	if err != nil {
		return seedBody{}, err
	}
	plain, err := v.suite.open(key, evidenceKeyID, sealed, aad)
	if err != nil {
		return seedBody{}, err
	}
	return decodeSeed(plain)
}

// takeSeed opens seed and values of a subject at an event and takes them out of
// where they are: out of row, or the record of a release before. There may be none.
func (v *Vault) takeSeed(tx *storage.Tx, row *eventSeeds, s Subject, c Context) (seedBody, error) {
	x, err := v.openSubject(tx, s, false)
	if err != nil {
		return seedBody{}, err
	}
	body, err := v.openSeed(tx, x, c)
	if errors.Is(err, ErrNotFound) {
		return seedBody{}, nil
	}
	if err != nil {
		return seedBody{}, err
	}
	if i := row.find(x.keys.place(s.ID, c.Env).alias); i >= 0 {
		row.remove(i)
		return body, nil
	}
	return body, oldSeeds.Delete(tx, s.Tenant, oldSeedID(s.ID, c))
}

// envRecord leads from a subject to an envelope with seeds of it, for who has to
// find them all.
type envRecord struct {
	Alias string `json:"alias"`
}

var envs = storage.Kind[envRecord]{Name: "privacy.env", Schema: 1}

// placesOf reports of which parties it is known that an envelope has seeds, and
// reads what a commitment needs of the others in one go.
func placesOf(tx *storage.Tx, tenant *tenantKeys, env string, parties []Party) ([]bool, error) {
	known := make([]bool, len(parties))
	var keys []storage.Key
	for i := range parties {
		s := &parties[i].Subject
		if known[i] = parties[i].Known; !known[i] {
			keys = append(keys, envs.Key(s.Tenant, storage.JoinID(s.ID, env)), aliases.Key(s.Tenant, storage.JoinID(env, tenant.place(s.ID, env).name)),
				subjects.Key(s.Tenant, s.ID))
		}
	}
	if keys == nil {
		return known, nil
	}
	// An index record goes only after its subject's keys did, and the commit
	// depends on the subject's record.
	recs, err := tx.Peek(keys...)
	for i := range known {
		if err == nil && !known[i] {
			known[i], recs = recs[0].Version > 0, recs[3:]
		}
	}
	return known, err
}

// placeTx notes that an envelope has seeds of a subject.
func placeTx(tx *storage.Tx, s Subject, env, alias string) error {
	index, id := storage.JoinID(s.ID, env), storage.JoinID(env, alias)
	_, ok, err := aliases.Get(tx, s.Tenant, id)
	if err == nil && !ok {
		err = aliases.Create(tx, s.Tenant, id, aliasRecord{s.ID})
	}
	if err != nil {
		return err
	}
	if _, ok, err = envs.Get(tx, s.Tenant, index); err != nil || ok {
		return err
	}
	return envs.Create(tx, s.Tenant, index, envRecord{alias})
}

// Envelopes lists the envelopes whose events hold commitments of a subject.
func (v *Vault) Envelopes(ctx context.Context, s Subject) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		each := func(id string, err error, parts int) bool {
			var p []string
			if err == nil {
				if p, err = storage.SplitID(id); err != nil || len(p) < 2 {
					err = fmt.Errorf("privacy: id of a seed: %w", storage.ErrCorrupt)
				}
			}
			if err != nil {
				yield("", err)
				return false
			}
			if len(p) != parts || seen[p[1]] {
				return true
			}
			seen[p[1]] = true
			return yield(p[1], nil)
		}
		prefix := storage.JoinPrefix(s.ID)
		for item, err := range envs.Scan(ctx, v.store, s.Tenant, prefix) {
			if !each(item.ID, err, 2) {
				return
			}
		}
		for r, err := range storage.Scan(ctx, v.store, s.Tenant, seedKind, prefix) {
			if !each(r.Key.ID, err, 3) {
				return
			}
		}
	}
}

// sweepSeeds removes what events hold of a subject whose keys are gone, and
// leaves what they hold of others.
func (v *Vault) sweepSeeds(ctx context.Context, s Subject) (int, error) {
	removed := 0
	for item, err := range envs.Scan(ctx, v.store, s.Tenant, storage.JoinPrefix(s.ID)) {
		if err != nil {
			return removed, err
		}
		parts, err := storage.SplitID(item.ID)
		if err != nil || len(parts) != 2 {
			return removed, fmt.Errorf("privacy: id of an index: %w", storage.ErrCorrupt)
		}
		var alias [aliasSize]byte
		if n, err := hex.Decode(alias[:], []byte(item.Value.Alias)); err != nil || n != aliasSize {
			return removed, fmt.Errorf("privacy: alias of an index: %w", storage.ErrCorrupt)
		}
		prefix := storage.JoinPrefix(parts[1])
		for r, err := range storage.Scan(ctx, v.store, s.Tenant, seedKind, prefix) {
			if err != nil {
				return removed, err
			}
			if strings.Contains(r.Key.ID[len(prefix):], "/") {
				continue // of a release before, and a subject whose id is the envelope's
			}
			n, err := v.sweepSeed(ctx, s, r.Key, alias)
			if err != nil {
				return removed, err
			}
			removed += n
		}
		if err := storage.Update(ctx, v.store, func(tx *storage.Tx) error {
			if _, _, err := subjects.Get(tx, s.Tenant, s.ID); err != nil {
				return err
			}
			return envs.Delete(tx, s.Tenant, item.ID)
		}); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (v *Vault) sweepSeed(ctx context.Context, s Subject, key storage.Key, alias [aliasSize]byte) (removed int, err error) {
	err = storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		removed = 0
		if _, _, err := subjects.Get(tx, s.Tenant, s.ID); err != nil { // checked with the write
			return err
		}
		recs, err := tx.Get(key)
		if err != nil || recs[0].Version == 0 {
			return err
		}
		row, err := decodeSeeds(recs[0].Data)
		if err != nil {
			return err
		}
		i := row.find(alias)
		if i < 0 {
			return nil
		}
		removed = 1
		if row.remove(i); len(row.sealed) == 0 {
			return tx.Delete(key)
		}
		return tx.Put(key, row.encode(nil), time.Time{})
	})
	return removed, err
}

// isOldSeed reports whether an id is that of a seed of a release before.
func isOldSeed(id string) bool { return strings.Count(id, "/") == 2 }

// A sealer is memory to seal in. What is personal in it goes with every use.
type sealer struct {
	row                              eventSeeds
	values                           []committed
	random, plain, aad, sealed, data []byte
}

var sealers = sync.Pool{New: func() any {
	return &sealer{plain: make([]byte, 0, 512), aad: make([]byte, 0, 256), sealed: make([]byte, 0, 1024), data: make([]byte, 0, 1024), random: make([]byte, 0, 64)}
}}

func (w *sealer) free() {
	clear(w.values[:cap(w.values)])
	clear(w.plain[:cap(w.plain)])
	clear(w.random[:cap(w.random)])
	clear(w.row.sealed[:cap(w.row.sealed)])
	if cap(w.plain)+cap(w.sealed)+cap(w.data) > 64<<10 || cap(w.values)+cap(w.row.sealed) > 1000 {
		return
	}
	w.row.sealed, w.values, w.sealed = w.row.sealed[:0], w.values[:0], w.sealed[:0]
	sealers.Put(w)
}
