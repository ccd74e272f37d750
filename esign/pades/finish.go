package pades

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/cms"
)

// Finish puts sig into what Prepare made and returns the increment. It needs
// neither document nor key, and checks what came from outside: a raw value
// against the leaf's key, a CMS against digest and profile.
//
// It refuses with [ErrContainerTooSmall] if the signature outgrew its place,
// naming the size needed. Levels above B-T add revisions that need the
// document: finish at B-T, then [Augment].
func Finish(ctx context.Context, p *Prepared, sig Signature, o *FinishOptions) (*Result, error) {
	const op = "finish"
	if o == nil {
		o = &FinishOptions{}
	}
	if err := p.check(op); err != nil {
		return nil, err
	}
	if p.Profile == ProfileBLT || p.Profile == ProfileBLTA {
		return nil, refusef(ErrUsage, op, "prepare level b-t and augment the document to %s", p.Profile)
	}
	if (sig.Raw == nil) == (sig.CMS == nil) {
		return nil, refuse(ErrUsage, op, errors.New("one of Raw and CMS is required"))
	}
	if sig.CMS != nil {
		if err := p.checkCMS(op, sig.CMS); err != nil {
			return nil, err
		}
		return p.complete(op, sig.CMS)
	}
	t, err := p.template(op)
	if err != nil {
		return nil, err
	}
	if err := t.Check(p.Attributes, sig.Raw); err != nil {
		return nil, wrap(op, err)
	}
	msg, err := p.assemble(ctx, op, t, sig.Raw, o)
	if err != nil {
		return nil, err
	}
	return p.complete(op, msg)
}

// assemble makes the CMS, with a timestamp if the profile asks for one.
func (p *Prepared) assemble(ctx context.Context, op string, t *cms.Template, raw []byte, o *FinishOptions) ([]byte, error) {
	var unsigned []cms.Attribute
	if p.Profile.timestamped() {
		token, err := timestamp(ctx, op, o.Timestamper, tokenDigest(p.Algorithm), raw)
		if err != nil {
			return nil, err
		}
		unsigned = append(unsigned, cms.Attribute{Type: cms.OIDSignatureTimestamp, Values: [][]byte{token}})
	}
	msg, err := t.Assemble(p.Attributes, raw, unsigned...)
	return msg, wrap(op, err)
}

// tokenDigest is the digest of timestamps over a signature of algorithm a.
func tokenDigest(a Algorithm) string {
	if a == SM2 {
		return "SM3"
	}
	return "SHA-256"
}

// fill writes the CMS into Contents of inc, which is p.Increment or a copy of
// it. The rest of Contents stays zero.
func (p *Prepared) fill(op string, inc, msg []byte) (*Result, error) {
	from, to := p.ByteRange[1]-p.Size, p.ByteRange[2]-p.Size
	if room := int(to-from-2) / 2; len(msg) > room {
		e := refusef(ErrContainerTooSmall, op, "signature of %d bytes, room for %d", len(msg), room)
		e.Need = len(msg)
		return nil, e
	}
	hex.Encode(inc[from+1:], msg)
	return &Result{
		Increment: inc, Size: p.Size + int64(len(inc)), ByteRange: p.ByteRange,
		Field: p.Field, Profile: p.Profile, Algorithm: p.Algorithm,
	}, nil
}

// complete fills Contents in and takes the stored digests to the end.
func (p *Prepared) complete(op string, msg []byte) (*Result, error) {
	r, err := p.fill(op, bytes.Clone(p.Increment), msg)
	if err != nil || p.Next == nil {
		return r, err
	}
	if p.Next.Version != stateVersion || p.Next.Size != p.ByteRange[1] {
		return nil, refuse(ErrUsage, op, errors.New("state does not fit the increment"))
	}
	rest := r.Increment[p.ByteRange[1]-p.Size:]
	tail, err := finishTail(p.Next.Tail, rest)
	if err != nil {
		return nil, wrap(op, err)
	}
	if r.State, err = p.Next.extend(rest, tail); err != nil {
		return nil, wrap(op, err)
	}
	return r, nil
}

// Sign prepares, signs with key and finishes in one pass, copying the document
// with its new revision to w. A nil w makes the increment only. Refusals come
// before w gets a byte; a later failure leaves a useless prefix there.
func Sign(ctx context.Context, r io.ReaderAt, size int64, w io.Writer, s Spec, key crypto.Signer, o *FinishOptions) (*Result, error) {
	const op = "sign"
	if o == nil {
		o = &FinishOptions{}
	}
	if key == nil {
		return nil, refuse(ErrUsage, op, errors.New("no key"))
	}
	if s.Profile.timestamped() && o.Timestamper == nil {
		return nil, refusef(ErrUsage, op, "profile %s needs a timestamper", s.Profile)
	}
	p, err := newPlan(ctx, op, r, size, s, tokenRoom)
	if err != nil {
		return nil, err
	}
	if !sameKey(p.spec.Chain[0].PublicKey, key.Public()) {
		if err := p.template.CheckKey(key); err != nil {
			return nil, wrap(op, err)
		}
	}
	l, err := p.layout()
	if err != nil {
		return nil, err
	}
	digests, err := hashPrefix(ctx, op, r, size, p.digests(), s.Resume, w)
	if err != nil {
		return nil, err
	}
	spare := digests
	if s.Profile.timestamped() { // whose token may ask for another layout
		if spare, err = forkAll(digests); err != nil {
			return nil, refuse(ErrIO, op, err)
		}
	}
	res, err := p.sign(ctx, r, l, digests, key, o)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == ErrContainerTooSmall && s.Profile.timestamped() {
		// Once: the token's size is known now (W4).
		p.room += e.Need
		if l, err = p.layout(); err == nil {
			res, err = p.sign(ctx, r, l, spare, key, o)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.spec.Profile == ProfileBLT || p.spec.Profile == ProfileBLTA {
		if err := raise(ctx, op, r, size, res, &s, o); err != nil {
			return nil, err
		}
	}
	if w != nil {
		if _, err := w.Write(res.Increment); err != nil {
			return nil, refuse(ErrIO, op, err)
		}
	}
	return res, nil
}

// sameKey is the cheap case of CheckKey: keys of the standard library's types.
func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// raise adds the revisions of the levels above B-T to a result.
func raise(ctx context.Context, op string, r io.ReaderAt, size int64, res *Result, s *Spec, o *FinishOptions) error {
	more, err := augment(ctx, op, joined{r, size, res.Increment}, res.Size, s.Profile, &AugmentOptions{
		Open: s.Open, Timestamper: o.Timestamper, Revocation: o.Revocation, Roots: o.Roots,
	})
	if err != nil {
		return err
	}
	res.Increment = append(res.Increment, more...)
	res.Size += int64(len(more))
	tail, err := tailAfter(r, size, res.Increment)
	if err != nil {
		return refuse(ErrIO, op, err)
	}
	if res.State, err = res.State.extend(more, tail); err != nil {
		return wrap(op, err)
	}
	return nil
}

// sign makes the signature of a laid-out revision with a key in this process.
func (p *plan) sign(ctx context.Context, r io.ReaderAt, l laidOut, digests []running, key crypto.Signer, o *FinishOptions) (*Result, error) {
	op := p.editor.op
	prep, err := p.digest(l, digests)
	if err != nil {
		return nil, err
	}
	raw, err := p.template.Sign(key, prep.ToSign)
	if err != nil {
		return nil, refuse(ErrKeyUnsupported, op, fmt.Errorf("the key refused: %w", err))
	}
	if o.SelfCheck {
		if err := p.template.Check(prep.Attributes, raw); err != nil {
			return nil, wrap(op, err)
		}
	}
	msg, err := prep.assemble(ctx, op, p.template, raw, o)
	if err != nil {
		return nil, err
	}
	return prep.finish(op, r, msg)
}
