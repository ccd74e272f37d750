package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// WriteContainer lets tests write a bundle's container from any entries.
func WriteContainer(files map[string][]byte) []byte {
	var list []*source
	for name, b := range files {
		s := sourceOf(name, b)
		s.crc = crc32.ChecksumIEEE(b) // all that a container has of it
		list = append(list, s)
	}
	var out bytes.Buffer
	if _, err := writeContainer(&out, list); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Resign makes a bundle of changed entries as an operator would who lies with
// the log's key in hand: manifest, hashes and head are computed again.
func (l *Log) Resign(files map[string][]byte, change func(*Claim)) []byte {
	m, err := parseManifest(files[pathManifest])
	if err != nil {
		panic(err)
	}
	delete(files, pathManifest)
	delete(files, pathNote)
	m.hashes, m.entries = nil, nil
	for line := range bytes.Lines(files[pathEvents]) {
		h := sha256.Sum256(bytes.TrimSuffix(line, []byte("\n")))
		m.hashes = append(m.hashes, h[:])
	}
	m.claim.Last, m.claim.Head = uint64(len(m.hashes)), m.hashes[len(m.hashes)-1]
	if change != nil {
		change(&m.claim)
	}
	var sources []*source
	for name, b := range files {
		sources = append(sources, sourceOf(name, b))
	}
	var out bytes.Buffer
	if _, err := l.write(&out, m, sources, 0); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// SlowParseEvent reads an event as a tree of values and writes it again to compare:
// what ParseEvent, which does neither, is held against.
func SlowParseEvent(b []byte) (Event, error) {
	o, err := canon.Scan(b, MaxEvent)
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	r := reader{o: o}
	var e Event
	if v := r.int("v"); v != eventVersion {
		return Event{}, fmt.Errorf("%w: version", ErrForm)
	}
	e.Env, e.Type = r.text("env"), r.text("type")
	e.Seq = r.int("seq")
	e.At, e.Eff = r.time("at"), r.time("eff")
	e.Back = r.flag("ck")
	e.Prev = r.hex("prev")
	r.object("actor", func(r *reader) {
		e.Actor = Actor{ID: r.text("id"), Role: r.text("role"), Account: r.text("account")}
	})
	r.object("nb", func(r *reader) { e.NotBefore = Before{Token: r.hex("token"), Size: r.int("size")} })
	r.each("docs", func(r *reader) {
		d := DocChange{ID: r.text("id"), Rev: int(r.int("rev"))}
		r.object("before", func(r *reader) { d.Before = r.digest() })
		r.object("after", func(r *reader) { d.After = r.digest() })
		e.Docs = append(e.Docs, d)
	})
	r.each("auth", func(r *reader) {
		e.Auth = append(e.Auth, Auth{Level: r.text("level"), Method: r.text("method"), Provider: r.text("provider"),
			Transaction: r.hex("tx"), Cert: r.hex("cert"), NotAfter: r.time("not_after")})
	})
	r.each("pd", func(r *reader) {
		e.Personal = append(e.Personal, Committed{Field: privacy.Field(r.text("f")), C: r.hex("c"), K: r.text("k")})
	})
	e.Req, e.X = r.free("req"), r.free("x")
	if r.bad {
		return Event{}, fmt.Errorf("%w: member", ErrForm)
	}
	if err := e.check(); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	// What the view does not show again was not an event of this form: unknown
	// members, empty members, other spellings.
	again, err := e.encode(make([]byte, 0, len(b)))
	if err != nil || !bytes.Equal(again, b) {
		return Event{}, fmt.Errorf("%w: not the canonical bytes", ErrForm)
	}
	e.raw = again
	return e, nil
}

// Glance reads an event as an audit does.
func Glance(b []byte, env string) (Event, error) {
	var e Event
	err := e.glance(b, env)
	return e, err
}

// ListAgain writes the manifest anew for changed entries: what everybody can who
// lacks the key for its note.
func ListAgain(files map[string][]byte) []byte {
	m, err := parseManifest(files[pathManifest])
	if err != nil {
		panic(err)
	}
	m.hashes = nil
	for line := range bytes.Lines(files[pathEvents]) {
		m.hashes = append(m.hashes, hashOf(bytes.TrimSuffix(line, []byte("\n"))))
	}
	m.claim.Last, m.claim.Head = uint64(len(m.hashes)), m.hashes[len(m.hashes)-1]
	for i := range m.entries {
		m.entries[i].digest = DigestsOf(files[m.entries[i].path])
	}
	b, err := m.encode()
	if err != nil {
		panic(err)
	}
	return b
}

// Bare is an event without its bytes.
func Bare(e Event) Event {
	e.raw, e.room = nil, nil
	return e
}

// What fuzz tests and vectors reach.
var (
	ParseNote   = func(b []byte) error { _, err := parseNote(b); return err }
	ParseProof  = func(b []byte) (uint64, error) { leaf, _, _, err := parseProof(b); return leaf, err }
	LeafBytes   = leafBytes
	FormatProof = formatProof
	DocPath     = docPath
)

// TypeName is for the test that every type has its words.
var TypeName = typeName

// HeadJSON and MarkJSON give a stored head or watermark the form that releases
// before wrote, in which tests change a member by its name; it reads as well.
func HeadJSON(b []byte) []byte { return again(chains, b) }

// MarkJSON is HeadJSON for watermarks.
func MarkJSON(b []byte) []byte { return again(marks, b) }

func again[T any](k packed[T], b []byte) []byte {
	v, err := k.Decode(storage.Record{Data: b})
	if err != nil {
		panic(err)
	}
	if b, err = k.Kind.Encode(v); err != nil {
		panic(err)
	}
	return b
}

// SignNote signs any text as the log, as an operator can who lies with its key.
func (l *Log) SignNote(text string) []byte {
	b, err := signNote(text, l.signers[:1])
	if err != nil {
		panic(err)
	}
	return b
}

// RenewManifests renews manifests as Anchor does, under another limit.
func (l *Log) RenewManifests(ctx context.Context, limit int) error {
	return l.renewManifests(ctx, limit)
}

// CheckpointText is the body of a checkpoint.
var CheckpointText = checkpointText

// LayOut is WriteContainer that writes nothing.
func LayOut(files map[string][]byte) io.ReaderAt {
	var list []*source
	for name, b := range files {
		s := sourceOf(name, b)
		s.crc = crc32.ChecksumIEEE(b)
		list = append(list, s)
	}
	x, err := layOut(list)
	if err != nil {
		panic(err)
	}
	return x
}

// FinalDocs is how many documents events end with.
func FinalDocs(events []Event) int { return len(finalDocs(events)) }
