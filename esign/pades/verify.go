package pades

import (
	"context"
	"crypto/x509"
	"io"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/tsp"
)

// VerifyOptions say whom to trust and when. Nil trusts nobody.
type VerifyOptions struct {
	Open        *OpenOptions
	Roots       []*x509.Certificate // trust anchors; a leaf may be one
	SystemRoots bool                // trust the system's store too
	At          time.Time           // when the question is asked; zero = now
	Revocation  RevocationSource    // nil = offline: what the document holds

	// AllowUnknownRevocation accepts a certificate that names a source of
	// revocation data when none is available, instead of TRY_LATER.
	AllowUnknownRevocation bool
}

// verifier holds what the answers about all signatures of a document share.
type verifier struct {
	ctx   context.Context
	r     io.ReaderAt
	size  int64
	opt   VerifyOptions
	doc   *pdf.Doc
	revs  []pdf.Revision // oldest first
	sigs  []*signature
	then  map[int]*form // by revision: the form as it was
	known sigCache
	certs cms.Known
	paths map[pathKey][]*x509.Certificate // those that were found
	more  []*x509.Certificate             // certificates in the DSS
	dss   evidence                        // revocation data in the DSS
}

// signature is one signature in the making of its report.
type signature struct {
	report   SignatureReport
	dict     *pdf.Dict
	dictRef  pdf.Ref
	field    pdf.Ref
	doc      *pdf.Doc // in which dict was found
	mdp      int
	locks    lockSet
	removed  bool // not in the latest revision
	orphan   bool // a widget that no form lists
	rng      [4]int64
	rangeOK  bool
	rev      int // index of the revision it ends with; -1 if none
	contents []byte
	cms      *parsedCMS
	judgedAt time.Time // of a document timestamp
	weak     bool      // by an algorithm that is broken, or will be

	stamped bool                // a signature timestamp verifies
	covered bool                // a trusted document timestamp covers it
	tokens  []*tsp.Token        // its timestamps that verify
	chain   []*x509.Certificate // its path to a root
}

// Verify judges every signature and document timestamp of a document. The
// error is for a document that cannot be read; whatever a signature turns out
// to be is in the report.
func Verify(ctx context.Context, r io.ReaderAt, size int64, o *VerifyOptions) (*Report, error) {
	const op = "verify"
	opt := VerifyOptions{}
	if o != nil {
		opt = *o
	}
	if opt.At.IsZero() {
		opt.At = time.Now()
	}
	d, err := open(ctx, op, r, size, opt.Open)
	if err != nil {
		return nil, err
	}
	var v *verifier
	if err := mended(d, func() error {
		v = &verifier{ctx: ctx, r: r, size: size, opt: opt, doc: d}
		return v.run()
	}); err != nil {
		return nil, wrap(op, err)
	}
	return v.report(), nil
}

func (v *verifier) run() error {
	if err := v.revisions(); err != nil {
		return err
	}
	if err := v.collect(); err != nil {
		return err
	}
	if len(v.sigs) == 0 {
		return nil
	}
	for _, s := range v.sigs {
		v.readRange(s)
		v.readCMS(s)
	}
	slices.SortStableFunc(v.sigs, func(a, b *signature) int {
		return int(min(max(a.end()-b.end(), -1), 1))
	})
	if err := v.digest(); err != nil {
		return err
	}
	v.more, v.dss = readDSS(v.doc)
	for _, s := range v.sigs {
		if err := v.coverage(s); err != nil {
			return err
		}
		v.integrity(s)
	}
	if err := v.changes(); err != nil {
		return err
	}
	v.times()
	for _, s := range v.sigs {
		v.trust(s)
		v.conclude(s)
	}
	return v.ctx.Err()
}

// end is where the bytes a signature claims to cover end.
func (s *signature) end() int64 {
	if !s.rangeOK {
		return 0
	}
	return s.rng[2] + s.rng[3]
}

// because adds a reason and lowers the verdict to at most worst.
func (s *signature) because(worst Verdict, code Code) {
	if !slices.Contains(s.report.Reasons, code) {
		s.report.Reasons = append(s.report.Reasons, code)
	}
	s.report.Verdict = worstVerdict(s.report.Verdict, worst)
}

func worstVerdict(a, b Verdict) Verdict {
	switch {
	case a == Failed || b == Failed:
		return Failed
	case a == Indeterminate || b == Indeterminate:
		return Indeterminate
	}
	return Passed
}

// report sums up: the document's verdict is its worst signature's.
func (v *verifier) report() *Report {
	out := &Report{Verdict: Passed, Reasons: []Code{}, Signatures: []SignatureReport{}}
	if len(v.sigs) == 0 {
		out.Verdict = Indeterminate
		out.Reasons = append(out.Reasons, ReasonNoSignature)
	}
	for _, s := range v.sigs {
		if s.report.Reasons == nil {
			s.report.Reasons = []Code{}
		}
		if s.report.ChangeDetails == nil {
			s.report.ChangeDetails = []Change{}
		}
		out.Signatures = append(out.Signatures, s.report)
		out.Verdict = worstVerdict(out.Verdict, s.report.Verdict)
		for _, c := range s.report.Reasons {
			if !slices.Contains(out.Reasons, c) {
				out.Reasons = append(out.Reasons, c)
			}
		}
	}
	return out
}

// revisions lists the revisions oldest first. A repaired document has none
// that count.
func (v *verifier) revisions() error {
	if v.doc.Repaired() {
		return nil
	}
	revs, err := v.doc.Revisions()
	if err != nil {
		return err
	}
	v.revs = slices.Clone(revs)
	slices.Reverse(v.revs)
	return nil
}

// formAt returns the form as it was at the end of a revision.
func (v *verifier) formAt(i int) (*form, error) {
	if f := v.then[i]; f != nil {
		return f, nil
	}
	d := v.doc
	if i < len(v.revs)-1 {
		if v.revs[i].EndEOL == 0 {
			return nil, refusef(ErrMalformed, "verify", "revision without end")
		}
		var err error
		if d, err = v.doc.At(v.revs[i].EndEOL); err != nil {
			return nil, err
		}
	}
	if v.then == nil {
		v.then, v.known = map[int]*form{}, sigCache{}
	}
	f, err := readFormWith(d, v.known)
	if err != nil {
		return nil, err
	}
	if len(v.then) < maxForms {
		v.then[i] = f
	}
	return f, nil
}

// maxForms bounds how many states of the form are kept.
const maxForms = 64

// collect finds the signatures: those of the latest revision's form, those a
// page shows though no form lists them, and those of earlier revisions that
// are gone (V6).
func (v *verifier) collect() error {
	latest, err := v.formAt(len(v.revs) - 1)
	if err != nil {
		return err
	}
	names := map[string]int{}
	dicts := map[pdf.Ref]int{}
	for _, f := range latest.fields {
		if f.Type == "Sig" {
			names[f.Name]++
		}
	}
	for _, f := range latest.signed {
		v.add(v.doc, f)
		if f.sigRef.Num != 0 {
			dicts[f.sigRef]++
		}
	}
	for _, s := range v.sigs {
		if names[s.report.Field] > 1 || s.dictRef.Num != 0 && dicts[s.dictRef] > 1 {
			s.because(Failed, ReasonDuplicateField)
		}
	}
	if err := v.orphans(latest); err != nil {
		return err
	}
	return v.removed()
}

func (v *verifier) add(d *pdf.Doc, f signedField) *signature {
	s := &signature{dict: f.sig, dictRef: f.sigRef, field: f.Ref, doc: d, mdp: f.mdp, locks: f.locks, rev: -1}
	s.report.Field = f.Name
	s.report.Verdict = Passed
	s.report.Changes = ChangesNone
	s.report.Certify = f.mdp
	for _, l := range f.locks {
		// A lock's own P restricts as a certification does (ISO 32000-2 table 236).
		if l.P != 0 && (s.mdp == 0 || l.P < s.mdp) {
			s.mdp = l.P
		}
	}
	v.sigs = append(v.sigs, s)
	return s
}

// orphans adds signature widgets that no form lists.
func (v *verifier) orphans(latest *form) error {
	known := map[pdf.Ref]bool{}
	for _, f := range latest.fields {
		known[f.Ref] = true
		for _, w := range f.Widgets {
			known[w.Ref] = true
		}
	}
	for p, err := range v.doc.Pages() {
		if err != nil {
			return nil // the changes will tell; what the form lists is judged
		}
		annots, err := v.doc.Annots(p)
		if err != nil {
			return nil
		}
		for _, a := range annots {
			if a.Ref.Num == 0 || known[a.Ref] {
				continue
			}
			known[a.Ref] = true
			if ft, err := v.doc.LookupName(a.Dict, "FT"); err != nil || ft != "Sig" {
				continue
			}
			sig, ref, err := v.doc.LookupDict(a.Dict, "V")
			if err != nil || sig == nil {
				continue
			}
			f := signedField{Field: pdf.Field{Ref: a.Ref, Dict: a.Dict, Type: "Sig", Value: a.Dict.Get("V")}, sig: sig, sigRef: ref}
			f.Name, _, _ = v.doc.LookupText(a.Dict, "T")
			f.mdp, f.locks, _ = transforms(v.doc, sig)
			s := v.add(v.doc, f)
			s.orphan = true
		}
	}
	return nil
}

// maxEarlier bounds how many earlier revisions are searched for signatures
// that are gone; it is far beyond what honest documents have.
const maxEarlier = 512

func (v *verifier) removed() error {
	seen := map[[2]int64]bool{}
	note := func(sig *pdf.Dict) [2]int64 {
		if sp, ok := sig.ValueSpan("Contents"); ok {
			return [2]int64{sp.Off, sp.Len}
		}
		return [2]int64{-1, -1}
	}
	for _, s := range v.sigs {
		if s.dict != nil {
			seen[note(s.dict)] = true
		}
	}
	for i := len(v.revs) - 2; i >= 0 && i >= len(v.revs)-1-maxEarlier; i-- {
		f, err := v.formAt(i)
		if err != nil {
			continue // that revision was never a document of its own
		}
		for _, x := range f.signed {
			if x.sig == nil {
				continue
			}
			key := note(x.sig)
			if seen[key] {
				continue
			}
			seen[key] = true
			s := v.add(f.doc, x)
			s.removed = true
			s.because(Failed, ReasonSignatureRemoved)
		}
	}
	return nil
}
