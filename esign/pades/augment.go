package pades

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
)

// Augment raises the signatures of a document, ours or foreign, to a profile
// by adding timestamps, certificates and revocation data in new revisions;
// nothing that is there is touched (C6, C7). b-t adds a document timestamp if
// a signature has none, b-lt also the DSS, b-lta a document timestamp over
// that; b-lta again renews it.
//
// Missing material is refused with [ErrRevocationMissing], never left out.
// With a nil w the result holds the increment only.
func Augment(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, to Profile, o *AugmentOptions) (*Result, error) {
	const op = "augment"
	if o == nil {
		o = &AugmentOptions{}
	}
	inc, err := augment(ctx, op, r, size, to, o)
	if err != nil {
		return nil, err
	}
	return emit(ctx, op, r, size, w, inc, nil, nil)
}

// augment makes the revisions that raise a document to a profile.
func augment(ctx context.Context, op string, r io.ReaderAt, size int64, to Profile, o *AugmentOptions) ([]byte, error) {
	if !to.timestamped() {
		return nil, refusef(ErrUsage, op, "cannot raise to profile %q", to)
	}
	v, err := openSigned(ctx, op, r, size, o)
	if err != nil {
		return nil, err
	}
	var inc []byte
	add := func(make func(r io.ReaderAt, size int64) ([]byte, error)) error {
		more, err := make(joined{r, size, inc}, size+int64(len(inc)))
		if err == nil {
			inc = append(inc, more...)
		}
		return err
	}
	stamp := func(r io.ReaderAt, size int64) ([]byte, error) { return documentTimestamp(ctx, op, r, size, o) }
	if v.unstamped() {
		if err := add(stamp); err != nil {
			return nil, err
		}
	} else if to == ProfileBT {
		return nil, refuse(ErrUsage, op, errors.New("every signature has a timestamp already"))
	}
	if to == ProfileBT {
		return inc, nil
	}
	err = add(func(r io.ReaderAt, size int64) ([]byte, error) { return validationData(ctx, op, r, size, o) })
	if err != nil || to == ProfileBLT {
		return inc, err
	}
	return inc, add(stamp)
}

// openSigned reads the signatures of a document and refuses broken ones: no
// timestamp mends them.
func openSigned(ctx context.Context, op string, r io.ReaderAt, size int64, o *AugmentOptions) (*verifier, error) {
	v := &verifier{ctx: ctx, r: r, size: size, opt: VerifyOptions{Open: o.Open, Roots: o.Roots, At: time.Now()}}
	var err error
	if v.doc, err = open(ctx, op, r, size, o.Open); err != nil {
		return nil, err
	}
	if v.doc.Repaired() {
		return nil, refuse(ErrRepaired, op, errors.New("the file can be read only by repair"))
	}
	if err := v.run(); err != nil {
		return nil, wrap(op, err)
	}
	if len(v.sigs) == 0 {
		return nil, refuse(ErrUsage, op, errors.New("the document has no signature"))
	}
	for _, s := range v.sigs {
		if s.report.Integrity != Intact || s.removed {
			return nil, refusef(ErrUsage, op, "signature %q is %s", s.report.Field, s.report.Integrity)
		}
	}
	return v, nil
}

// unstamped reports whether a signature has neither a timestamp of its own nor
// a document timestamp after it.
func (v *verifier) unstamped() bool {
	for i, s := range v.sigs {
		if s.report.SubFilter == subFilterStamp || s.stamped {
			continue
		}
		later := false
		for _, d := range v.sigs[i+1:] {
			later = later || d.report.SubFilter == subFilterStamp
		}
		if !later {
			return true
		}
	}
	return false
}

// documentTimestamp makes a revision that holds nothing but a document
// timestamp in an invisible field.
func documentTimestamp(ctx context.Context, op string, r io.ReaderAt, size int64, o *AugmentOptions) ([]byte, error) {
	if o.Timestamper == nil {
		return nil, refuse(ErrUsage, op, errors.New("the profile needs a timestamper"))
	}
	d, err := open(ctx, op, r, size, o.Open)
	if err != nil {
		return nil, err
	}
	pre, err := hashPrefix(ctx, op, r, size, []string{"SHA-256"}, nil, nil)
	if err != nil {
		return nil, err
	}
	room := tokenRoom
	for attempt := 0; ; attempt++ {
		var e editor
		if err := e.begin(op, d, false); err != nil {
			return nil, wrap(op, err)
		}
		l, err := layoutTimestamp(&e, room)
		if err != nil {
			return nil, wrap(op, err)
		}
		h, err := pre[0].fork()
		if err != nil {
			return nil, wrap(op, err)
		}
		from, to := l.gap()
		h.Write(l.increment[:from])
		h.Write(l.increment[to:])
		token, err := timestampSum(ctx, op, o.Timestamper, "SHA-256", h.Sum(nil))
		if err != nil {
			return nil, err
		}
		if len(token) <= int(to-from-2)/2 {
			hex.Encode(l.increment[from+1:], token)
			return l.increment, nil
		}
		if attempt > 0 {
			e := refusef(ErrContainerTooSmall, op, "token of %d bytes", len(token))
			e.Need = len(token)
			return nil, e
		}
		room = len(token) + 256
	}
}

func layoutTimestamp(e *editor, room int) (l laidOut, err error) {
	name := ""
	for n := 1; ; n++ {
		if name = fmt.Sprintf("Timestamp%d", n); !e.form.taken(name) {
			break
		}
	}
	ref := e.u.Alloc()
	if _, err := e.newField(NewField{Name: name, Type: FieldSignature}, pdf.KV{Key: "V", Value: ref}); err != nil {
		return l, err
	}
	if err := e.flagSigned(); err != nil {
		return l, err
	}
	var c container
	c.reserve(room)
	e.u.Set(ref, pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("DocTimeStamp")},
		pdf.KV{Key: "Filter", Value: pdf.Name(handler)},
		pdf.KV{Key: "SubFilter", Value: pdf.Name(subFilterStamp)},
		pdf.KV{Key: "ByteRange", Value: &c.byteRange},
		pdf.KV{Key: "Contents", Value: &c.contents},
	))
	return c.build(e.u)
}

// validationData makes a revision that adds to the DSS what the paths of all
// signatures and timestamps need (C7).
func validationData(ctx context.Context, op string, r io.ReaderAt, size int64, o *AugmentOptions) ([]byte, error) {
	v, err := openSigned(ctx, op, r, size, o)
	if err != nil {
		return nil, err
	}
	v.opt.Revocation = o.Revocation
	var e editor
	if err := e.begin(op, v.doc, false); err != nil {
		return nil, wrap(op, err)
	}
	catalog, err := e.dict(v.doc.Root())
	if err != nil {
		return nil, wrap(op, err)
	}
	dss, commit, err := e.inside(catalog, "DSS")
	if err != nil {
		return nil, wrap(op, err)
	}
	if dss.Len() == 0 {
		dss.Set("Type", pdf.Name("DSS"))
	}
	s := newStore(&e, v.doc, dss)
	for _, sig := range v.sigs {
		m, err := v.material(op, sig)
		if err != nil {
			return nil, err
		}
		refs := s.add(m)
		if o.VRI {
			if err := s.vri(sig, refs); err != nil {
				return nil, wrap(op, err)
			}
		}
	}
	if err := s.flush(); err != nil {
		return nil, wrap(op, err)
	}
	commit()
	inc, err := e.u.Build()
	if err != nil {
		return nil, wrap(op, err)
	}
	return inc.Bytes, nil
}

// material is what it takes to validate one signature later.
type material struct {
	certs []*x509.Certificate
	evidence
}

// material collects certificates and revocation data for a signature's path
// and those of its timestamps.
func (v *verifier) material(op string, s *signature) (material, error) {
	var m material
	if s.report.SubFilter == subFilterStamp {
		t := s.cms.token
		return m, v.collectPath(op, &m, t.Certificate, t.Embedded, x509.ExtKeyUsageTimeStamping, inCMS(s.cms.data, s.cms.signer))
	}
	own := inCMS(s.cms.data, s.cms.signer)
	if err := v.collectPath(op, &m, s.cms.proved.Certificate, s.cms.data.Embedded(), 0, own); err != nil {
		return m, err
	}
	for _, t := range s.tokens {
		if err := v.collectPath(op, &m, t.Certificate, t.Embedded, x509.ExtKeyUsageTimeStamping, own); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (v *verifier) collectPath(op string, m *material, leaf *x509.Certificate, embedded []*x509.Certificate, usage x509.ExtKeyUsage, own evidence) error {
	at := v.opt.At
	if leaf.NotAfter.Before(at) {
		at = leaf.NotAfter // an expired one is documented as it last was
	}
	path, err := v.path(leaf, embedded, usage, at)
	if err != nil {
		// Without a root to end at, the chain is taken as far as it is there.
		path = partialPath(leaf, append(embedded, v.more...))
		if len(v.opt.Roots) > 0 {
			return refuse(ErrRevocationMissing, op, fmt.Errorf("no path for %s: %w", leaf.Subject, err))
		}
	}
	m.certs = append(m.certs, path...)
	return v.collectRevocation(op, m, path, own, 0)
}

// partialPath follows issuers by name and signature.
func partialPath(leaf *x509.Certificate, pool []*x509.Certificate) []*x509.Certificate {
	path := []*x509.Certificate{leaf}
	for len(path) < 10 {
		last, found := path[len(path)-1], false
		for _, c := range pool {
			if string(c.RawSubject) == string(last.RawIssuer) && string(c.Raw) != string(last.Raw) && cms.CheckIssued(last, c) == nil {
				path, found = append(path, c), true
				break
			}
		}
		if !found {
			break
		}
	}
	return path
}

// collectRevocation finds an answer about every certificate below the root, and
// about who signed the answers.
func (v *verifier) collectRevocation(op string, m *material, path []*x509.Certificate, own evidence, depth int) error {
	held := evidence{}
	held.add(own)
	held.add(v.dss)
	for i := range len(path) - 1 {
		cert, issuer := path[i], path[i+1]
		at := v.opt.At
		if cert.NotAfter.Before(at) {
			at = cert.NotAfter
		}
		used := v.pick(cert, issuer, at, held)
		if used == nil {
			used = v.pick(cert, issuer, at, v.fetch(cert, issuer))
		}
		if used == nil {
			if !namesSource(cert) {
				continue
			}
			return refusef(ErrRevocationMissing, op, "no usable OCSP response or CRL for %s", cert.Subject)
		}
		m.add(used.evidence)
		signer := used.answer.Signer
		if signer == nil || string(signer.Raw) == string(issuer.Raw) {
			continue
		}
		m.certs = append(m.certs, signer)
		if !used.answer.NoCheck && depth < 2 {
			if err := v.collectRevocation(op, m, []*x509.Certificate{signer, issuer}, own, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// picked is one piece of revocation data and what it says.
type picked struct {
	evidence
	answer *cms.Revocation
}

// pick returns the data that best would count.
func (v *verifier) pick(cert, issuer *x509.Certificate, at time.Time, data evidence) *picked {
	for _, b := range data.ocsps {
		one := evidence{ocsps: [][]byte{b}}
		if r := v.best(cert, issuer, at, one); r != nil {
			return &picked{one, r}
		}
	}
	for _, b := range data.crls {
		one := evidence{crls: [][]byte{b}}
		if r := v.best(cert, issuer, at, one); r != nil {
			return &picked{one, r}
		}
	}
	return nil
}

// store is the DSS in the making: content that is there already is not added
// again.
type store struct {
	e     *editor
	dss   *pdf.Dict
	known map[pdf.Name]map[[32]byte]pdf.Ref
	fresh map[pdf.Name][]pdf.Object
}

var dssKeys = []pdf.Name{"Certs", "OCSPs", "CRLs"}

func newStore(e *editor, d *pdf.Doc, dss *pdf.Dict) *store {
	s := &store{e: e, dss: dss, known: map[pdf.Name]map[[32]byte]pdf.Ref{}, fresh: map[pdf.Name][]pdf.Object{}}
	for _, key := range dssKeys {
		s.known[key] = map[[32]byte]pdf.Ref{}
		list, _, err := d.LookupArray(dss, key)
		if err != nil {
			continue
		}
		for _, o := range list.All() {
			ref, ok := o.(pdf.Ref)
			if !ok {
				continue
			}
			if r, err := d.Resolve(ref); err == nil {
				if in, ok := r.(*pdf.Stream); ok {
					if b, err := in.Decode(); err == nil {
						s.known[key][sha256.Sum256(b)] = ref
					}
				}
			}
		}
	}
	return s
}

// put returns the stream that holds b, new or not.
func (s *store) put(key pdf.Name, b []byte) pdf.Object {
	sum := sha256.Sum256(b)
	if ref, ok := s.known[key][sum]; ok {
		return ref
	}
	ref := s.e.u.Add(pdf.NewStream(pdf.MakeDict(), b))
	s.known[key][sum] = ref
	s.fresh[key] = append(s.fresh[key], ref)
	return ref
}

func (s *store) add(m material) map[pdf.Name][]pdf.Object {
	refs := map[pdf.Name][]pdf.Object{}
	note := func(key, short pdf.Name, b []byte) {
		ref := s.put(key, b)
		for _, o := range refs[short] {
			if o == ref {
				return
			}
		}
		refs[short] = append(refs[short], ref)
	}
	for _, c := range m.certs {
		note("Certs", "Cert", c.Raw)
	}
	for _, b := range m.ocsps {
		note("OCSPs", "OCSP", b)
	}
	for _, b := range m.crls {
		note("CRLs", "CRL", b)
	}
	return refs
}

// vri writes a signature's own entry: its key is the digest of all of Contents.
func (s *store) vri(sig *signature, refs map[pdf.Name][]pdf.Object) error {
	sum := sha1.Sum(sig.contents)
	vri, commit, err := s.e.inside(s.dss, "VRI")
	if err != nil {
		return err
	}
	entry := pdf.MakeDict()
	for _, key := range []pdf.Name{"Cert", "CRL", "OCSP"} {
		if len(refs[key]) > 0 {
			entry.Set(key, pdf.MakeArray(refs[key]...))
		}
	}
	vri.Set(pdf.Name(strings.ToUpper(hex.EncodeToString(sum[:]))), entry)
	commit()
	return nil
}

func (s *store) flush() error {
	for _, key := range dssKeys {
		if len(s.fresh[key]) == 0 {
			continue
		}
		list, err := s.e.array(s.dss, key)
		if err != nil {
			return err
		}
		list.Append(s.fresh[key]...)
	}
	return nil
}
