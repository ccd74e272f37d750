package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A Document is the bytes of one revision, for a bundle.
type Document struct {
	ID   string
	Rev  int
	Body io.ReaderAt // read twice
	Size int64
}

// A Disclosure asks whether the requester may read one committed value.
type Disclosure struct {
	Seq     uint64
	Type    string // of the event
	Field   privacy.Field
	Subject privacy.Subject
}

// ExportOptions say what goes into a bundle. nil is digests only and nothing
// disclosed.
type ExportOptions struct {
	// Documents are the final revisions. Every document that an event names
	// must be here, unless DigestsOnly.
	Documents []Document
	// DigestsOnly leaves documents out; the claim says so.
	DigestsOnly bool
	// Disclose decides what the requester may read (P02); nil discloses
	// nothing. Whatever is disclosed is read from the vault on the record, so
	// the context must name an accessor.
	Disclose func(Disclosure) bool
	// Report puts the report in Chinese and English among the entries, as report.zh.pdf
	// and report.en.pdf, under these options (Lang is not read); nil leaves them out.
	// It can be made of the bundle at any time: see [WriteReport].
	Report *ReportOptions
	// Why is the purpose of reading; empty is privacy.PurposeEvidence.
	Why privacy.Purpose
}

// BundleInfo describes a bundle that was written.
type BundleInfo struct {
	Size      int64       `json:"size"`
	SHA256    storage.Hex `json:"sha256"` // of the whole file
	Claim     Claim       `json:"claim"`
	Disclosed int         `json:"disclosed"` // values opened
	Manifest  []byte      `json:"-"`         // manifest.json, for Step.Manifest
}

// Export writes the evidence of an envelope as a bundle (.esev) that verifies
// offline. The chain is checked before anything is signed, documents are held
// against their events, and what the requester may not read stays closed. It
// costs nothing (H49) and records nothing but the reads of disclosed values; a
// caller who records the export itself appends [TypeExport] before, so that
// the bundle tells of it. What was written after an error is to be thrown away.
//
// It fails with [ErrNotFound], [*TamperError], [ErrDocument], [ErrLoss],
// [ErrTooLarge] or the vault's errors.
func (l *Log) Export(ctx context.Context, tenant, env string, w io.Writer, o *ExportOptions) (BundleInfo, error) {
	if o == nil {
		o = &ExportOptions{DigestsOnly: true}
	}
	raws, head, err := l.read(ctx, tenant, env)
	if err != nil {
		return BundleInfo{}, err
	}
	if head.Seq == 0 {
		return BundleInfo{}, ErrNotFound
	}
	events, bad := l.judge(tenant, env, raws, head)
	if bad != nil {
		return BundleInfo{}, bad
	}
	if tenant != storage.Deployment {
		if err := l.vault.Unlock(ctx, tenant); err != nil {
			return BundleInfo{}, err
		}
	}
	m := &manifest{origin: l.origin, tenant: tenant, env: env,
		claim: Claim{Kind: ClaimOpen, Last: head.Seq, Head: head.Hash, Seal: head.Sealed, Docs: DocsFull, Known: true}}
	if head.Sealed > 0 {
		m.claim.Kind = ClaimSealed
	}
	if m.blind, err = l.blind(tenant, env); err != nil {
		return BundleInfo{}, err
	}
	var lines bytes.Buffer
	for _, raw := range raws {
		m.hashes = append(m.hashes, hashOf(raw))
		lines.Write(raw)
		lines.WriteByte('\n')
	}
	if lines.Len() > maxEvents {
		return BundleInfo{}, ErrTooLarge
	}
	sources := []*source{sourceOf(pathEvents, lines.Bytes()), sourceOf(pathHowto, howto)}
	about, err := environment()
	if err != nil {
		return BundleInfo{}, err
	}
	sources = append(sources, sourceOf(pathEnvironment, about))
	if o.DigestsOnly {
		m.claim.Docs = DocsDigests
	} else if sources, err = addDocuments(sources, events, o.Documents); err != nil {
		return BundleInfo{}, err
	}
	opened, n, err := l.disclose(ctx, tenant, env, events, o)
	if err != nil {
		return BundleInfo{}, err
	}
	if n > 0 {
		sources = append(sources, sourceOf(pathDisclosures, opened))
	}
	logged, size, err := l.material(ctx, tenant, env, events)
	if err != nil {
		return BundleInfo{}, err
	}
	sources, m.claim.Size = append(sources, logged...), size
	if o.Report != nil {
		if sources, err = l.addReports(*m, sources, *o.Report); err != nil {
			return BundleInfo{}, err
		}
	}
	return l.write(w, m, sources, n)
}

// write measures, lists, signs and writes.
func (l *Log) write(w io.Writer, m *manifest, sources []*source, disclosed int) (BundleInfo, error) {
	sources, err := l.listed(m, sources)
	if err != nil {
		return BundleInfo{}, err
	}
	var list []byte
	for _, s := range sources {
		if s.name == pathManifest {
			list = s.bytes
		}
	}
	sum := sha256.New()
	size, err := writeContainer(io.MultiWriter(w, sum), sources)
	if err != nil {
		return BundleInfo{}, err
	}
	return BundleInfo{Size: size, SHA256: sum.Sum(nil), Claim: m.claim, Disclosed: disclosed, Manifest: list}, nil
}

// listed measures and lists sources, and adds the manifest with its note.
func (l *Log) listed(m *manifest, sources []*source) ([]*source, error) {
	if len(sources)+2 > maxEntries {
		return nil, ErrTooLarge
	}
	sources = slices.Clone(sources)
	sortSources(sources)
	m.entries = nil
	for _, s := range sources {
		if err := s.measure(); err != nil {
			return nil, err
		}
		m.entries = append(m.entries, manifestEntry{s.name, s.digest})
	}
	list, err := m.encode()
	if err != nil {
		return nil, err
	}
	signed, err := signNote(manifestText(l.origin, list), l.signers[:1])
	if err != nil {
		return nil, err
	}
	for _, s := range []*source{sourceOf(pathManifest, list), sourceOf(pathNote, signed)} {
		if err := s.measure(); err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func addDocuments(sources []*source, events []Event, docs []Document) ([]*source, error) {
	given := map[string]Document{}
	total := int64(0)
	for _, d := range docs {
		p := docPath(d.ID, d.Rev)
		if _, dup := given[p]; dup || d.Body == nil || d.Size < 0 {
			return nil, fmt.Errorf("%w: %q given twice or without bytes", ErrDocument, d.ID)
		}
		if d.Size > maxContainer-total { // before any is read
			return nil, ErrTooLarge
		}
		total += d.Size
		given[p] = d
	}
	for _, f := range finalDocs(events) {
		p := docPath(f.ID, f.Rev)
		d, ok := given[p]
		if !ok {
			return nil, fmt.Errorf("%w: %q revision %d is missing", ErrDocument, f.ID, f.Rev)
		}
		s := &source{name: p, body: d.Body, size: d.Size}
		if err := s.measure(); err != nil {
			return nil, err
		}
		if !s.digest.Equal(f.After) {
			return nil, fmt.Errorf("%w: %q revision %d, event %d", ErrDocument, f.ID, f.Rev, f.seq)
		}
		sources = append(sources, s)
		delete(given, p)
	}
	for _, d := range given {
		return nil, fmt.Errorf("%w: no event ends with %q revision %d", ErrDocument, d.ID, d.Rev)
	}
	return sources, nil
}

// disclose opens what the requester may read, and nothing else.
func (l *Log) disclose(ctx context.Context, tenant, env string, events []Event, o *ExportOptions) ([]byte, int, error) {
	if o.Disclose == nil {
		return nil, 0, nil
	}
	why := o.Why
	if why == "" {
		why = privacy.PurposeEvidence
	}
	var out bytes.Buffer
	n := 0
	for i := range events {
		e := &events[i]
		if len(e.Personal) == 0 {
			continue
		}
		at := privacy.Context{Env: env, Seq: e.Seq}
		opened, err := storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) ([]privacy.Opening, error) {
			var list []privacy.Opening
			for _, g := range bySubject(e.Personal) {
				s, err := l.vault.SubjectOfTx(tx, tenant, env, g.k)
				if errors.Is(err, privacy.ErrNotFound) {
					return nil, fmt.Errorf("%w: event %d", ErrLoss, e.Seq)
				}
				if err != nil {
					return nil, err
				}
				var fields []privacy.Field
				for _, f := range g.fields {
					if o.Disclose(Disclosure{Seq: e.Seq, Type: e.Type, Field: f, Subject: s}) {
						fields = append(fields, f)
					}
				}
				if len(fields) == 0 {
					continue
				}
				got, err := l.vault.OpenTx(ctx, tx, tenant, at, g.k, fields, why)
				switch {
				case errors.Is(err, privacy.ErrErased) && explained(events, g.k), errors.Is(err, privacy.ErrRestricted):
					continue // closed for good, or for this requester
				case errors.Is(err, privacy.ErrErased), errors.Is(err, privacy.ErrNotFound), errors.Is(err, privacy.ErrKey):
					return nil, fmt.Errorf("%w: event %d", ErrLoss, e.Seq)
				case err != nil:
					return nil, err
				}
				list = append(list, got...)
			}
			return list, nil
		})
		if err != nil {
			return nil, 0, err
		}
		for _, op := range opened {
			if e.opens(op) < 0 {
				return nil, 0, fmt.Errorf("%w: event %d, %s does not open", ErrLoss, e.Seq, op.Field)
			}
			b, err := canon.Append(nil, map[string]any{"seq": e.Seq, "f": string(op.Field), "salt": storage.Hex(op.Salt()).String(), "value": op.Clear()})
			if err != nil {
				return nil, 0, fmt.Errorf("evidence: disclosure: %w", err)
			}
			out.Write(append(b, '\n'))
			n++
		}
	}
	return out.Bytes(), n, nil
}

// opens finds the commitment of the event that an opening opens, or -1.
func (e *Event) opens(o privacy.Opening) int {
	for i, p := range e.Personal {
		if p.Field == o.Field && o.Opens(p.C, privacy.Context{Env: e.Env, Seq: e.Seq}) {
			return i
		}
	}
	return -1
}

type subjectFields struct {
	k      string
	fields []privacy.Field
}

func bySubject(list []Committed) []subjectFields {
	var out []subjectFields
next:
	for _, c := range list {
		for i := range out {
			if out[i].k == c.K {
				out[i].fields = append(out[i].fields, c.Field)
				continue next
			}
		}
		out = append(out, subjectFields{c.K, []privacy.Field{c.Field}})
	}
	return out
}
