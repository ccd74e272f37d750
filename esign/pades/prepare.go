package pades

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"

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
	d, err := p.digest(l, pre)
	if err != nil {
		return nil, err
	}
	for _, c := range p.spec.Chain {
		d.Chain = append(d.Chain, c.Raw)
	}
	return d.store(op, r, l)
}

// digests lists what is to be computed over the document: what this signature
// needs first, then what is to be kept.
func (p *plan) digests() []string {
	return append([]string{p.template.Digest()}, p.spec.Keep...)
}

// draft is a Prepared with its digests still running: they stand before
// Contents (W12).
type draft struct {
	Prepared
	digests []running
}

// digest takes the digests over the laid-out revision, after the document's
// own bytes, and makes what is to be signed. The digests become the draft's.
func (p *plan) digest(l laidOut, digests []running) (d draft, err error) {
	op := p.editor.op
	from, to := l.gap()
	d = draft{
		Prepared: Prepared{
			Version: preparedVersion, Size: l.start, Increment: l.increment, ByteRange: l.byteRange,
			Profile: p.spec.Profile, Algorithm: Algorithm(p.template.Algorithm()), GMT: p.spec.GMT,
			Hash: p.template.Digest(), Field: p.field,
		},
		digests: digests,
	}
	for _, h := range digests {
		h.Write(l.increment[:from])
	}
	h, err := d.digests[0].fork()
	if err != nil {
		return d, refuse(ErrIO, op, err)
	}
	h.Write(l.increment[to:])
	d.Digest = h.Sum(nil)
	if d.Attributes, err = p.template.Attributes(d.Digest); err != nil {
		return d, wrap(op, err)
	}
	d.ToSign, err = p.template.ToSign(d.Attributes)
	return d, wrap(op, err)
}

// store makes a draft one that can wait: what the finish will need of the
// document's end is digested, and the digests are marshalled.
func (d *draft) store(op string, r io.ReaderAt, l laidOut) (*Prepared, error) {
	var err error
	if d.Tail, err = tailOf(r, l.start); err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	head, err := tailHead(r, l)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	if d.Next, err = saveState(l.byteRange[1], head, d.digests); err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	return &d.Prepared, nil
}

// finish fills the draft in and takes the digests to the end.
func (d *draft) finish(op string, r io.ReaderAt, msg []byte) (*Result, error) {
	res, err := d.fill(op, d.Increment, msg)
	if err != nil {
		return nil, err
	}
	for _, h := range d.digests {
		h.Write(res.Increment[d.ByteRange[1]-d.Size:])
	}
	tail, err := tailAfter(r, d.Size, res.Increment)
	if err != nil {
		return nil, refuse(ErrIO, op, err)
	}
	res.State, err = saveState(res.Size, tail, d.digests)
	return res, wrap(op, err)
}

// tailHead is the state of the new document's tail digest before Contents: its
// last 4 KiB may begin in bytes that Finish does not see.
func tailHead(r io.ReaderAt, l laidOut) ([]byte, error) {
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
