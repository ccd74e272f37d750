package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
)

// Verify judges a bundle: offline, without a store, the same bytes under the
// same options always the same. It may be called concurrently. Report says
// PASSED, FAILED or INDETERMINATE, and where; FirstBad is the smallest event
// that cannot be right, Path the entry that a check is about.
//
// Only input that is no bundle at all is an error: [ErrUnreadable], and so is a b that
// cannot be read.
func Verify(b io.ReaderAt, size int64, o *VerifyOptions) (*Report, error) {
	v, err := judgeBundle(b, size, o)
	if err != nil {
		return nil, err
	}
	return v.r, nil
}

func judgeBundle(b io.ReaderAt, size int64, o *VerifyOptions) (*verifier, error) {
	if o == nil {
		o = &VerifyOptions{}
	}
	c, faults, err := openContainer(b, size)
	if c != nil && c.err != nil {
		return nil, fmt.Errorf("evidence: read bundle: %w", c.err)
	}
	if err != nil {
		return nil, err
	}
	v := &verifier{c: c, o: o, r: &Report{Verdict: Passed}, renewals: map[string]bool{}}
	v.container(faults)
	if v.err == nil {
		v.manifest()
	}
	if v.err == nil {
		v.events()
	}
	if v.err == nil {
		v.log()
	}
	if v.err == nil {
		v.held()
	}
	if v.err == nil {
		v.documents()
	}
	if v.err == nil {
		v.disclosures()
	}
	if v.err == nil {
		v.manifestRecord()
	}
	if v.err != nil {
		return nil, v.err
	}
	return v, nil
}

type verifier struct {
	c       *container
	o       *VerifyOptions
	r       *Report
	m       *manifest         // nil: unreadable
	signed  bool              // the note names this manifest: it may tell where things broke
	digests []Digest          // of the entries
	listed  map[string]Digest // what the manifest says of them
	list    []Event           // well-formed events have Seq > 0
	raws    [][]byte
	err     error // the input could not be read

	renewals map[string]bool // evidence records that were judged
}

func (v *verifier) fail(code string, seq uint64, path, detail string) {
	v.r.add(Check{Code: code, Verdict: Failed, Seq: seq, Path: path, Detail: detail})
}

// pass adds a passed check unless one of this code has been added.
func (v *verifier) pass(code string) {
	if !slices.ContainsFunc(v.r.Checks, func(c Check) bool { return c.Code == code }) {
		v.r.add(Check{Code: code, Verdict: Passed})
	}
}

func (v *verifier) container(faults []Check) {
	for _, f := range v.settleNames(faults) {
		v.r.add(f)
	}
	var right []bool
	if v.digests, right, v.err = v.c.digestAll(); v.err != nil {
		return
	}
	for i, ok := range right {
		if !ok {
			v.fail(CodeContainer, 0, v.c.entries[i].name, "checksum")
		}
	}
	v.pass(CodeContainer)
}

// settleNames lets the manifest decide what an entry is called whose two headers
// disagree, so that the check names the entry and not the damage. Where there is no
// manifest to ask, both names are named.
func (v *verifier) settleNames(faults []Check) []Check {
	if !slices.ContainsFunc(v.c.entries, func(e entry) bool { return e.alt != "" }) {
		return faults
	}
	asked := false
	known := map[string]bool{pathManifest: true, pathNote: true}
	if raw, err := v.c.read(pathManifest, maxManifest); err == nil {
		if m, err := parseManifest(raw); err == nil {
			asked = true
			for _, e := range m.entries {
				known[e.path] = true
			}
		}
	}
	count := map[string]int{}
	for _, e := range v.c.entries {
		count[e.name]++
	}
	at := map[string][]int{}
	for j, f := range faults {
		at[f.Path] = append(at[f.Path], j)
	}
	for i := range v.c.entries {
		e := &v.c.entries[i]
		if e.alt != "" && !asked {
			faults = append(faults, Check{Code: CodeContainer, Verdict: Failed, Path: e.alt, Detail: "two names"})
		}
		if e.alt == "" || !known[e.alt] || known[e.name] && count[e.name] == 1 {
			continue
		}
		for _, j := range at[e.name] {
			faults[j].Path = e.alt
		}
		delete(at, e.name)
		e.name, e.alt = e.alt, e.name
	}
	v.c.index()
	return faults
}

// read gets an entry; one too large for its kind fails its check.
func (v *verifier) read(code, path string, limit int64) []byte {
	b, err := v.c.read(path, limit)
	if err != nil {
		v.fail(code, 0, path, "too large")
	}
	return b
}

func (v *verifier) manifest() {
	raw := v.read(CodeManifest, pathManifest, maxManifest)
	signed := v.read(CodeManifestNote, pathNote, maxNote)
	m, err := parseManifest(raw)
	if err != nil {
		v.fail(CodeManifest, 0, pathManifest, "missing or not in its one form")
	} else {
		v.m = m
		v.r.Tenant, v.r.Env, v.r.Origin, v.r.Claim = m.tenant, m.env, m.origin, m.claim
	}
	n, err := parseNote(signed)
	switch {
	case err != nil || len(n.sigs) != 1:
		v.fail(CodeManifestNote, 0, pathNote, "missing or not a note with one signature")
	case v.m == nil:
	case n.text != manifestText(m.origin, raw) || n.sigs[0].name != m.origin:
		// One of the two was changed: a note that is as it was signed is not it.
		path := pathManifest
		known, good := n.byLog(v.o.Keys.log(m.origin), m.claim.Size)
		if known && !good || n.text == manifestText(m.origin, raw) {
			path = pathNote
		}
		v.fail(CodeManifestNote, 0, path, "the note names another manifest")
	default:
		v.signed = true
		switch known, good := n.byLog(v.o.Keys.log(m.origin), m.claim.Size); {
		case !known:
			v.r.add(Check{Code: CodeLogKey, Verdict: Indeterminate, Path: pathNote, Detail: "no trusted key of this log"})
		case !good:
			v.fail(CodeManifestNote, 0, pathNote, "signature")
		}
	}
	if v.m == nil {
		return
	}
	v.entries()
	v.pass(CodeManifest)
	if v.signed && !v.r.Has(CodeLogKey, Indeterminate) {
		v.pass(CodeManifestNote)
	}
}

// entries holds every entry against the manifest, and the manifest against the
// entries.
func (v *verifier) entries() {
	listed := map[int]bool{}
	last := ""
	v.listed = make(map[string]Digest, len(v.m.entries))
	for _, e := range v.m.entries {
		v.listed[e.path] = e.digest
		if e.path <= last || e.path == pathManifest || e.path == pathNote {
			v.fail(CodeManifest, 0, pathManifest, "entries out of order")
		}
		last = e.path
		i, ok := v.c.byName[e.path]
		if !ok {
			v.fail(CodeManifest, 0, e.path, "missing")
			continue
		}
		listed[i] = true
		if !v.digests[i].Equal(e.digest) {
			v.fail(CodeManifest, 0, e.path, "not the bytes that were signed")
		}
	}
	for i, e := range v.c.entries {
		if !listed[i] && e.name != pathManifest && e.name != pathNote && e.alt != pathManifest && e.alt != pathNote {
			v.fail(CodeManifest, 0, e.name, "not in the manifest")
		}
	}
}

func (v *verifier) events() {
	raw := v.read(CodeEvent, pathEvents, maxEvents)
	v.raws = nil
	for len(raw) > 0 {
		line, rest, ended := bytes.Cut(raw, []byte("\n"))
		if !ended {
			v.fail(CodeEvent, uint64(len(v.raws))+1, pathEvents, "last line has no end")
			v.r.bad(uint64(len(v.raws)) + 1)
		}
		v.raws, raw = append(v.raws, line), rest
	}
	k := chainFacts{}
	if v.signed { // else the manifest itself may be what was changed
		k = chainFacts{origin: v.m.origin, tenant: v.m.tenant, env: v.m.env, count: v.m.claim.Last, head: v.m.claim.Head, hashes: v.m.hashes}
	}
	list, faults := parseChain(v.raws, k)
	v.list = list
	if v.signed && v.m.claim.Seal > 0 && (v.m.claim.Seal > uint64(len(list)) || list[v.m.claim.Seal-1].Type != TypeSealed) {
		faults = append(faults, fault{CodeSeal, min(v.m.claim.Seal, uint64(len(list))+1), "no seal where the claim has one", Failed})
	}
	if v.signed {
		for _, e := range list {
			if e.Type == TypeSealed && e.Seq > v.m.claim.Seal {
				faults = append(faults, fault{CodeSeal, e.Seq, "a later seal than the claim has", Failed})
				break
			}
		}
	}
	v.r.faults(faults)
	for _, e := range list {
		if e.Seq > 0 {
			v.r.Windows = append(v.r.Windows, Window{Seq: e.Seq, At: e.At})
		}
	}
}

func (v *verifier) documents() {
	if v.m == nil {
		return
	}
	v.befores()
	seen := map[int]bool{}
	for _, f := range finalDocs(v.list) {
		path := docPath(f.ID, f.Rev)
		i, ok := v.c.byName[path]
		switch {
		case !ok && v.m.claim.Docs == DocsDigests:
			v.r.add(Check{Code: CodeDocumentAbsent, Verdict: Indeterminate, Seq: f.seq, Path: path, Detail: "digests only"})
			continue
		case !ok:
			v.fail(CodeDocument, f.seq, path, "missing")
			continue
		}
		seen[i] = true
		if !v.digests[i].Equal(f.After) {
			v.fail(CodeDocument, f.seq, path, "not the bytes that the event names")
			continue
		}
		v.r.add(Check{Code: CodeDocument, Verdict: Passed, Seq: f.seq, Path: path})
		if v.o.Document == nil {
			continue
		}
		e := &v.c.entries[i]
		verdict, err := v.o.Document(path, io.NewSectionReader(v.c.r, e.at, e.size), e.size)
		c := Check{Code: CodeDocumentCheck, Verdict: verdict, Seq: f.seq, Path: path}
		if err != nil {
			c.Detail = err.Error()
		}
		if c.Verdict != Passed && c.Verdict != Failed {
			c.Verdict = Indeterminate
		}
		v.r.add(c)
	}
	for i, e := range v.c.entries {
		if strings.HasPrefix(e.name, "docs/") && !seen[i] {
			v.fail(CodeDocument, 0, e.name, "no event ends with these bytes")
		}
	}
}

// befores holds what an event says that a document was before it against what an
// earlier event left it as.
func (v *verifier) befores() {
	for seq, d := range otherBefores(v.list) {
		v.fail(CodeDocument, seq, docPath(d.ID, d.Rev), wrongBefore)
		v.r.bad(seq)
	}
}

const wrongBefore = "it was something else before than an earlier event left"

// otherBefores yields what events say of a document that an earlier one contradicts.
func otherBefores(events []Event) iter.Seq2[uint64, DocChange] {
	return func(yield func(uint64, DocChange) bool) {
		left := map[string]Digest{}
		for i := range events {
			e := &events[i]
			for _, d := range e.Docs {
				if last, ok := left[d.ID]; ok && !d.Before.IsZero() && !d.Before.Equal(last) && !yield(e.Seq, d) {
					return
				}
			}
			for _, d := range e.Docs {
				if !d.After.IsZero() {
					left[d.ID] = d.After
				}
			}
		}
	}
}

func (v *verifier) disclosures() {
	if _, ok := v.c.byName[pathDisclosures]; !ok || v.m == nil {
		return
	}
	raw := v.read(CodeDisclosure, pathDisclosures, maxDisclosures)
	opened := map[[2]uint64]bool{}
	for line := range bytes.Lines(raw) {
		seq, err := v.disclosure(line, opened)
		if err != nil {
			v.fail(CodeDisclosure, seq, pathDisclosures, err.Error())
		}
	}
	v.pass(CodeDisclosure)
}

func (v *verifier) disclosure(line []byte, opened map[[2]uint64]bool) (uint64, error) {
	seq, i, op, err := v.opening(line)
	if err == nil && opened[[2]uint64{seq, uint64(i)}] {
		err = fmt.Errorf("%s is opened twice", op.Field)
	}
	if err == nil {
		opened[[2]uint64{seq, uint64(i)}] = true
	}
	return seq, err
}

// opening reads a line of disclosures and finds the commitment that it opens.
func (v *verifier) opening(line []byte) (seq uint64, i int, op privacy.Opening, err error) {
	body, ok := bytes.CutSuffix(line, []byte("\n"))
	o, err := canon.ParseObject(body, MaxEvent)
	if err != nil || !ok {
		return 0, 0, op, fmt.Errorf("not in canonical form")
	}
	r := reader{o: o}
	seq = r.int("seq")
	op = privacy.NewOpening(privacy.Field(r.text("f")), r.hex("salt"), r.text("value"))
	if r.bad || len(o) != 4 || len(op.Salt()) != sha256.Size {
		return 0, 0, op, fmt.Errorf("members")
	}
	if seq == 0 || seq > uint64(len(v.list)) || v.list[seq-1].Seq != seq {
		return seq, 0, op, fmt.Errorf("no such event")
	}
	if i = v.list[seq-1].opens(op); i < 0 {
		return seq, 0, op, fmt.Errorf("%s is not what was committed", op.Field)
	}
	return seq, i, op, nil
}
