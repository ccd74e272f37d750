package pades

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/countersign/countersign/internal/cms"
)

const preparedVersion = 1

// Prepare makes the revision that s asks for, complete but for the signature
// value, for whoever holds the key to sign Prepared.ToSign. It reads the
// document and changes nothing.
func Prepare(ctx context.Context, r io.ReaderAt, size int64, s Spec) (*Prepared, error) {
	const op = "prepare"
	p, err := newPlan(ctx, op, r, size, s, tokenRoom)
	if err != nil {
		return nil, err
	}
	l, err := p.layout()
	if err != nil {
		return nil, err
	}
	pre, err := hashPrefix(ctx, op, r, size, p.digests(), s.Resume, nil)
	if err != nil {
		return nil, err
	}
	return p.prepared(r, l, pre)
}

// digests lists what is to be computed over the document: what this signature
// needs first, then what is to be kept.
func (p *plan) digests() []string {
	names := []string{p.template.Digest()}
	for _, name := range p.spec.Keep {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// prepared digests the laid-out revision after the document's own bytes.
func (p *plan) prepared(r io.ReaderAt, l *laidOut, pre *prefix) (*Prepared, error) {
	op := p.editor.op
	tail, err := tailOf(r, l.start)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	from, to := l.gap()
	next := map[string]hash.Hash{}
	for name := range pre.hashes {
		h, err := pre.fork(name)
		if err != nil {
			return nil, refuse(ErrIO, op, err)
		}
		h.Write(l.increment[:from])
		next[name] = h
	}
	head, err := tailHead(r, l)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	state, err := saveState(l.byteRange[1], head, next)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	h := next[p.template.Digest()]
	h.Write(l.increment[to:])
	out := &Prepared{
		Version: preparedVersion, Size: l.start, Tail: tail, Increment: l.increment, ByteRange: l.byteRange,
		Profile: p.spec.Profile, Algorithm: Algorithm(p.template.Algorithm()), GMT: p.spec.GMT,
		Hash: p.template.Digest(), Digest: h.Sum(nil), Field: p.field, Next: state,
	}
	for _, c := range p.spec.Chain {
		out.Chain = append(out.Chain, c.Raw)
	}
	if out.Attributes, err = p.template.Attributes(out.Digest); err != nil {
		return nil, wrap(op, err)
	}
	if out.ToSign, err = p.template.ToSign(out.Attributes); err != nil {
		return nil, wrap(op, err)
	}
	return out, nil
}

// tailHead is the state of the new document's tail digest before Contents: its
// last 4 KiB may begin in bytes that Finish does not see.
func tailHead(r io.ReaderAt, l *laidOut) ([]byte, error) {
	size := l.start + int64(len(l.increment))
	from := max(size-tailSize, 0)
	h := sha256.New()
	if n := l.byteRange[1] - from; n > 0 {
		b := make([]byte, n)
		if err := readFull(joined{r, l.start, l.increment}, b, from); err != nil {
			return nil, err
		}
		h.Write(b)
	}
	return cms.SaveHash(h)
}

// finishTail completes what tailHead began with the bytes from Contents on.
func finishTail(head []byte, rest []byte) ([]byte, error) {
	h, err := cms.RestoreHash("SHA-256", head)
	if err != nil {
		return nil, err
	}
	h.Write(rest[max(0, len(rest)-tailSize):])
	return h.Sum(nil), nil
}

// template rebuilds what wrote the attributes.
func (p *Prepared) template(op string) (*cms.Template, error) {
	chain := make([]*x509.Certificate, 0, len(p.Chain))
	for _, raw := range p.Chain {
		c, err := cms.ParseCertificate(raw)
		if err != nil {
			return nil, wrap(op, err)
		}
		chain = append(chain, c)
	}
	t, err := cms.New(chain, &cms.Options{Algorithm: cms.Algorithm(p.Algorithm), GMT: p.GMT})
	return t, wrap(op, err)
}

// check refuses a Prepared that was not made by Prepare.
func (p *Prepared) check(op string) error {
	if p == nil || p.Version != preparedVersion {
		return refuse(ErrUsage, op, errors.New("not prepared by this version"))
	}
	r := p.ByteRange
	size := p.Size + int64(len(p.Increment))
	if r[0] != 0 || p.Size < 0 || r[1] < p.Size || r[2] < r[1]+2 || r[2]+r[3] != size || r[3] < 0 {
		return refuse(ErrUsage, op, errors.New("byte range does not fit the increment"))
	}
	gap := p.Increment[r[1]-p.Size : r[2]-p.Size]
	if gap[0] != '<' || gap[len(gap)-1] != '>' || len(gap)%2 != 0 {
		return refuse(ErrUsage, op, errors.New("byte range does not enclose Contents"))
	}
	return nil
}
