package pades

import (
	"errors"

	"github.com/countersign/countersign/internal/cms"
)

// checkCMS accepts a detached CMS from outside only if it is what the profile
// asks for, over the digest that was prepared.
func (p *Prepared) checkCMS(op string, b []byte) error {
	sd, err := cms.Parse(b)
	if err != nil {
		return refuse(ReasonFormatFailure, op, err)
	}
	switch {
	case len(sd.Trailing) > 0:
		return refuse(ReasonFormatFailure, op, errors.New("bytes after the CMS"))
	case sd.HasContent:
		return refuse(ReasonFormatFailure, op, errors.New("the CMS is not detached"))
	case len(sd.Signers) != 1:
		return refusef(ReasonFormatFailure, op, "%d signers", len(sd.Signers))
	}
	s := sd.Signers[0]
	if s.Digest != p.Hash {
		return refusef(ErrUsage, op, "digest %s, prepared for %s", s.Digest, p.Hash)
	}
	v, err := sd.Verify(s, cms.VerifyOptions{Digest: p.Digest})
	if err != nil {
		return refuse(reasonOf(err), op, err)
	}
	_, dated := s.SigningTime()
	switch {
	case !v.Attributes || v.Binding == cms.Unbound:
		return refuse(ReasonFormatFailure, op, errors.New("no signing-certificate attribute"))
	case p.Profile != ProfileCMS && dated:
		return refuse(ReasonFormatFailure, op, errors.New("PAdES allows no signing-time attribute"))
	case p.Profile.timestamped() && len(s.Timestamps()) == 0:
		return refuse(ErrTSAInvalid, op, errors.New("the profile needs a signature timestamp"))
	}
	if len(p.Chain) > 0 && string(v.Certificate.Raw) != string(p.Chain[0]) {
		return refuse(ErrKeyMismatch, op, errors.New("signed by another certificate than prepared for"))
	}
	return nil
}

// reasonOf turns a failure of the CMS layer into a reason of the verdict.
func reasonOf(err error) Code {
	e, ok := errors.AsType[*cms.VerifyError](err)
	if !ok {
		return ReasonFormatFailure
	}
	switch e.Reason {
	case cms.ReasonDigest:
		return ReasonHashFailure
	case cms.ReasonSignature, cms.ReasonSigningCertificate:
		return ReasonSigCryptoFailure
	case cms.ReasonAlgorithm:
		return ReasonAlgorithmUnsupported
	case cms.ReasonNoCertificate:
		return ReasonNoSigningCertificate
	}
	return ReasonFormatFailure
}
