package pades

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/tsp"
)

// parsedCMS is the content of /Contents.
type parsedCMS struct {
	data   *cms.SignedData
	signer *cms.SignerInfo
	sum    []byte // digest of the byte range by the signer's algorithm
	sha1   []byte // and by SHA-1, for adbe.pkcs7.sha1
	proved *cms.Verified
	token  *tsp.Token // of a document timestamp
}

// broken ends the question of integrity.
func (s *signature) broken(code Code) {
	s.report.Integrity = Broken
	s.because(Failed, code)
}

// readRange checks the byte range against the file and the dictionary (V1, V2).
func (v *verifier) readRange(s *signature) {
	s.report.Integrity = Intact
	if s.dict == nil {
		s.broken(ReasonFormatFailure)
		return
	}
	if sub, err := s.doc.LookupName(s.dict, "SubFilter"); err == nil {
		s.report.SubFilter = string(sub)
	}
	if text, ok, err := s.doc.LookupText(s.dict, "M"); err == nil && ok {
		if t, err := parseDate(text); err == nil {
			s.report.SigningTime = &t
		}
	}
	if err := s.parseRange(v.size); err != nil {
		s.broken(ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, err.Error())
		return
	}
	s.rangeOK = true
	s.report.ByteRange = s.rng[:]
	if err := v.parseGap(s); err != nil {
		s.broken(ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, err.Error())
	}
}

func (s *signature) parseRange(size int64) error {
	a, _, err := s.doc.LookupArray(s.dict, "ByteRange")
	if err != nil || a == nil {
		return errors.New("no byte range")
	}
	if a.Len() != 4 {
		return fmt.Errorf("byte range of %d numbers", a.Len())
	}
	for i, o := range a.All() {
		if o, err = s.doc.Resolve(o); err != nil {
			return errors.New("byte range cannot be read")
		}
		n, ok := o.(pdf.Int)
		if !ok || n < 0 || int64(n) > size {
			return errors.New("byte range is no range of the file")
		}
		s.rng[i] = int64(n)
	}
	r := s.rng
	// No sum below overflows: every number is at most size.
	if r[0] != 0 || r[1] == 0 || r[2] <= r[1] || r[3] > size-r[2] {
		return errors.New("byte range is not from 0, ordered and inside the file")
	}
	return nil
}

// parseGap checks that the gap is exactly the Contents token of this
// dictionary, hexadecimal throughout, so that nothing can hide in it.
func (v *verifier) parseGap(s *signature) error {
	span, ok := s.dict.ValueSpan("Contents")
	if !ok {
		return errors.New("/Contents does not stand in the dictionary")
	}
	if s.dict.Repeated() {
		return errors.New("the signature dictionary repeats a key")
	}
	if span.Off != s.rng[1] || span.End() != s.rng[2] {
		return errors.New("the gap is not the Contents token")
	}
	if limit := v.maxCMS(); span.Len > 2*limit+2 {
		return fmt.Errorf("/Contents is larger than %d bytes", limit)
	}
	raw := make([]byte, span.Len)
	if err := readFull(v.r, raw, span.Off); err != nil {
		return err
	}
	if raw[0] != '<' || raw[len(raw)-1] != '>' {
		return errors.New("/Contents is no hexadecimal string")
	}
	for _, c := range raw[1 : len(raw)-1] {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		case c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0:
		default:
			return errors.New("/Contents holds something else than hexadecimal digits")
		}
	}
	str, _ := s.dict.Get("Contents").(pdf.String)
	s.contents = str.B
	return nil
}

func (v *verifier) maxCMS() int64 {
	if o := v.opt.Open; o != nil && o.Limits.CMS > 0 {
		return o.Limits.CMS
	}
	return 4 << 20
}

// readCMS parses Contents and checks its form (V3, V4).
func (v *verifier) readCMS(s *signature) {
	if s.contents == nil || s.report.Integrity == Broken {
		return
	}
	switch s.report.SubFilter {
	case subFilterCAdES, subFilterPKCS7, subFilterSHA1, subFilterStamp:
	case "adbe.x509.rsa_sha1":
		s.report.Integrity = Unverifiable
		s.because(Indeterminate, ReasonAlgorithmUnsupported)
		return
	default:
		s.broken(ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, "unknown SubFilter")
		return
	}
	fail := func(text string) {
		s.broken(ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, text)
	}
	sd, err := v.certs.Parse(s.contents)
	if err != nil {
		fail("Contents is no CMS")
		return
	}
	if len(bytes.Trim(sd.Trailing, "\x00")) > 0 {
		fail("bytes follow the CMS")
		return
	}
	if len(sd.Signers) != 1 {
		fail(fmt.Sprintf("%d signers", len(sd.Signers)))
		return
	}
	switch s.report.SubFilter {
	case subFilterStamp:
		if !sd.HasContent || sd.ContentType != cms.OIDTSTInfo {
			fail("not a timestamp token")
			return
		}
	case subFilterSHA1:
		if !sd.HasContent || len(sd.Content) != 20 {
			fail("content is no SHA-1 digest")
			return
		}
	default:
		if sd.HasContent {
			fail("the CMS has content of its own")
			return
		}
		if sd.ContentType != cms.OIDData && sd.ContentType != cms.OIDDataGMT {
			fail("the CMS signs something else than data")
			return
		}
	}
	s.cms = &parsedCMS{data: sd, signer: sd.Signers[0]}
	if kind, err := s.doc.LookupName(s.dict, "Type"); err == nil && kind != "" && (kind == "DocTimeStamp") != (s.report.SubFilter == subFilterStamp) {
		s.because(Indeterminate, ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, "Type and SubFilter name different kinds of signature")
	}
}

// rangeHash is the digest of one signature's byte range in the making.
type rangeHash struct {
	s    *signature
	name string
	h    hash.Hash // nil until its gap was passed
}

// digest reads the file once for all signatures: a running hash per algorithm
// forks at each gap and runs on without it.
func (v *verifier) digest() error {
	var want []*rangeHash
	running := map[string]hash.Hash{}
	for _, s := range v.sigs {
		if s.cms == nil {
			continue
		}
		name := s.cms.signer.Digest
		switch s.report.SubFilter {
		case subFilterSHA1:
			name = "SHA-1"
		case subFilterStamp:
			t, err := tsp.Read(s.cms.data.Raw)
			if err != nil {
				s.broken(ReasonTimestampInvalid)
				s.cms = nil
				continue
			}
			s.cms.token, name = t, t.Digest
		}
		if name == "" {
			continue // integrity says why
		}
		if running[name] == nil {
			h, err := cms.NewHash(name)
			if err != nil {
				continue
			}
			running[name] = h
		}
		want = append(want, &rangeHash{s: s, name: name})
	}
	if len(want) == 0 {
		return nil
	}
	cuts := make([]int64, 0, 3*len(want))
	for _, w := range want {
		cuts = append(cuts, w.s.rng[1], w.s.rng[2], w.s.end())
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	return v.readRanges(want, running, cuts)
}

func (v *verifier) readRanges(want []*rangeHash, running map[string]hash.Hash, cuts []int64) error {
	buf := pages.Get().(*[pageSize]byte)
	defer pages.Put(buf)
	off := int64(0)
	for _, cut := range cuts {
		for off < cut {
			if err := v.ctx.Err(); err != nil {
				return err
			}
			b := buf[:min(int64(len(buf)), cut-off)]
			if err := readFull(v.r, b, off); err != nil {
				return refuse(ErrIO, "verify", err)
			}
			needed := map[string]bool{}
			for _, w := range want {
				r := w.s.rng
				switch {
				case off < r[1]:
					needed[w.name] = true
				case off >= r[2] && off < w.s.end():
					w.h.Write(b)
				}
			}
			for name := range needed {
				running[name].Write(b)
			}
			off += int64(len(b))
		}
		for _, w := range want {
			if w.s.rng[1] == cut {
				h, err := forkHash(w.name, running[w.name])
				if err != nil {
					return err
				}
				w.h = h
			}
			if w.s.end() == cut && w.h != nil {
				sum := w.h.Sum(nil)
				if w.name == "SHA-1" {
					w.s.cms.sha1 = sum
				}
				w.s.cms.sum = sum
			}
		}
	}
	return nil
}

// integrity checks the CMS against the bytes (V4) and the dictionary against
// the revision it belongs to (V5).
func (v *verifier) integrity(s *signature) {
	if s.cms == nil || s.report.Integrity != Intact {
		if s.report.Integrity == Intact {
			s.broken(ReasonFormatFailure)
		}
		return
	}
	if s.report.SubFilter == subFilterStamp {
		v.timestampIntegrity(s)
	} else {
		v.cmsIntegrity(s)
	}
	if s.removed || s.orphan {
		if s.orphan {
			s.because(Failed, ReasonFormatFailure)
			s.report.Warnings = append(s.report.Warnings, "the form does not list this signature")
		}
		return
	}
	if v.doc.Repaired() {
		s.because(Indeterminate, ErrRepaired)
		return
	}
	if err := v.inOwnRevision(s); err != nil {
		s.broken(ReasonFormatFailure)
		s.report.Warnings = append(s.report.Warnings, err.Error())
	}
}

func (v *verifier) cmsIntegrity(s *signature) {
	c := s.cms
	sum := c.sum
	if s.report.SubFilter == subFilterSHA1 {
		if !bytes.Equal(c.data.Content, c.sha1) {
			s.broken(ReasonHashFailure)
			return
		}
		var err error
		if sum, err = c.data.ContentDigest(c.signer); err != nil {
			s.unverifiable(ReasonAlgorithmUnsupported)
			return
		}
	}
	s.report.Algorithm = algorithmName(c.signer)
	proved, err := c.data.Verify(c.signer, cms.VerifyOptions{Digest: sum, Certificates: v.more})
	if err != nil {
		switch code := reasonOf(err); code {
		case ReasonAlgorithmUnsupported, ReasonNoSigningCertificate:
			s.unverifiable(code)
		default:
			s.broken(code)
		}
		return
	}
	c.proved = proved
	s.report.Algorithm = string(proved.Algorithm) + "-" + proved.Digest
	s.report.Signer = proved.Certificate.Subject.String()
	if s.report.SubFilter == subFilterCAdES && proved.Binding == cms.Unbound {
		s.report.Warnings = append(s.report.Warnings, "no signing-certificate attribute: not of a PAdES level")
	}
	if t, ok := c.signer.SigningTime(); ok && s.report.SigningTime == nil {
		s.report.SigningTime = &t
	}
	s.weak = proved.Digest == "SHA-1" || s.report.SubFilter == subFilterSHA1 || weakKey(proved.Certificate)
}

func (s *signature) unverifiable(code Code) {
	s.report.Integrity = Unverifiable
	s.because(Indeterminate, code)
}

func (v *verifier) timestampIntegrity(s *signature) {
	c := s.cms
	if c.sum == nil {
		s.unverifiable(ReasonAlgorithmUnsupported)
		return
	}
	t, err := tsp.Verify(c.data.Raw, tsp.VerifyOptions{Digest: c.token.Digest, Sum: c.sum, Certificates: v.more})
	if err != nil {
		e, _ := errors.AsType[*tsp.Error](err)
		switch {
		case e != nil && e.Code == tsp.CodeAlgorithm:
			s.unverifiable(ReasonAlgorithmUnsupported)
		case e != nil && e.Code == tsp.CodeCertificate:
			s.unverifiable(ReasonNoSigningCertificate)
		case e != nil && (e.Code == tsp.CodeTime || e.Code == tsp.CodeUsage || e.Code == tsp.CodeBinding):
			// The bytes are what was stamped; the token proves no time.
			s.because(Indeterminate, ReasonTimestampInvalid)
		case e != nil && e.Code == tsp.CodeImprint:
			s.broken(ReasonHashFailure)
			s.because(Failed, ReasonTimestampInvalid)
		default:
			s.broken(ReasonTimestampInvalid)
		}
		s.report.Warnings = append(s.report.Warnings, err.Error())
		return
	}
	c.token = t
	s.report.Algorithm = string(t.Algorithm) + "-" + t.SignatureDigest
	s.report.Signer = t.Certificate.Subject.String()
	s.weak = t.SignatureDigest == "SHA-1" || t.Digest == "SHA-1" || weakKey(t.Certificate)
}

func algorithmName(s *cms.SignerInfo) string {
	return s.SignatureOID.String() + "-" + s.Digest
}

// inOwnRevision opens the covered prefix as a document and looks for the same
// dictionary in the same field there; then nothing of it can have changed since
// without a trace in the changes.
func (v *verifier) inOwnRevision(s *signature) error {
	f, err := v.formOf(s)
	if err != nil {
		return err
	}
	for _, i := range f.signedAs(s.report.Field) {
		x := f.signed[i]
		if x.sig == nil {
			continue
		}
		own, ok1 := x.sig.ValueSpan("Contents")
		now, ok2 := s.dict.ValueSpan("Contents")
		if !ok1 || !ok2 || own != now {
			continue
		}
		if same, err := pdf.Equal(f.doc, x.sig, v.doc, s.dict); err != nil || !same {
			return errors.New("the signature dictionary was changed")
		}
		return nil
	}
	return errors.New("what the signature covers does not hold this signature in this field")
}

// formOf returns the form of what a signature covers.
func (v *verifier) formOf(s *signature) (*form, error) {
	if s.rev >= 0 {
		if f, err := v.formAt(s.rev); err == nil {
			return f, nil
		}
	}
	d, err := v.doc.At(s.end())
	if err != nil {
		return nil, errors.New("what the signature covers is no document")
	}
	f, err := readForm(d)
	if err != nil {
		return nil, errors.New("what the signature covers has no readable form")
	}
	return f, nil
}
