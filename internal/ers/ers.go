package ers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
	"github.com/countersign/countersign/internal/tsp"
)

// The limits of a record that is read.
const (
	MaxSize   = 4 << 20 // bytes
	maxChains = 64
	maxStamps = 256 // of a chain
	maxLists  = 64  // of a hash tree
	maxNodes  = 1024
)

var (
	// ErrRecord is a record that is malformed, or does not prove the object.
	ErrRecord = errors.New("ers: evidence record")
	// ErrUntrusted is a record that is right in itself, but for whose timestamps
	// no root was given.
	ErrUntrusted = errors.New("ers: timestamp not trusted")
)

func bad(what string) error { return fmt.Errorf("%w: %s", ErrRecord, what) }

// A Timestamper asks an authority for an RFC 3161 token over a digest, named as
// in package cms.
type Timestamper interface {
	Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error)
}

// A record is an EvidenceRecord (§3.1).
type record struct {
	chains [][]stamp
}

// A stamp is an ArchiveTimeStamp (§4.1).
type stamp struct {
	digest string     // of its hash tree and its token
	alg    []byte     // its AlgorithmIdentifier; nil: left out, as the token has it
	attrs  []byte     // attributes, encoded; nil: none
	tree   [][][]byte // reduced hash tree; nil: none
	token  []byte     // ContentInfo
}

const (
	tagDigest = 0xa0
	tagAttrs  = 0xa1
	tagTree   = 0xa2
)

func (s *stamp) encode(b *der.Builder) {
	m := b.Begin(der.Sequence)
	if s.alg != nil {
		k := b.Begin(tagDigest)
		b.Raw(body(s.alg))
		b.End(k)
	}
	if s.attrs != nil {
		b.Raw(s.attrs)
	}
	if s.tree != nil {
		k := b.Begin(tagTree)
		for _, list := range s.tree {
			l := b.Begin(der.Sequence)
			for _, h := range list {
				b.Octets(h)
			}
			b.End(l)
		}
		b.End(k)
	}
	b.Raw(s.token)
	b.End(m)
}

// body is the contents of an encoded element: [0] is implicit.
func body(encoded []byte) []byte {
	v, err := der.Parse(encoded)
	if err != nil {
		return nil // it was written or read by this package
	}
	return v.Body
}

func algorithm(digest string) ([]byte, error) {
	oid, err := cms.DigestOID(digest)
	if err != nil {
		return nil, err
	}
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.OID(oid)
	b.End(m)
	return b.Bytes(), nil
}

// sequence encodes chains as an ArchiveTimeStampSequence, which a hash renewal
// covers.
func sequence(chains [][]stamp) []byte {
	var b der.Builder
	m := b.Begin(der.Sequence)
	for _, c := range chains {
		k := b.Begin(der.Sequence)
		for i := range c {
			c[i].encode(&b)
		}
		b.End(k)
	}
	b.End(m)
	return b.Bytes()
}

func (r *record) encode() []byte {
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.Small(1)
	k := b.Begin(der.Sequence)
	var seen [][]byte
	for _, c := range r.chains {
		for i := range c {
			if c[i].alg != nil && !slices.ContainsFunc(seen, func(x []byte) bool { return bytes.Equal(x, c[i].alg) }) {
				seen = append(seen, c[i].alg)
				b.Raw(c[i].alg)
			}
		}
	}
	b.End(k)
	b.Raw(sequence(r.chains))
	b.End(m)
	return b.Bytes()
}

// parse reads a record. The list of algorithms at its head says nothing that the
// stamps do not say, so its order is the writer's; all else has one form.
func parse(raw []byte) (*record, error) {
	if len(raw) > MaxSize {
		return nil, bad("too large")
	}
	v, err := der.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	c := v.Enter()
	if c.Small() != 1 && c.Err() == nil {
		return nil, bad("version")
	}
	algs := c.Want(der.Sequence)
	listed := map[string]bool{}
	for list := c.Sub(algs); list.More(); {
		listed[string(list.Want(der.Sequence).Raw)] = true
	}
	chains := c.Want(der.Sequence)
	if err := c.Done(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	r := &record{}
	cs := c.Sub(chains)
	for cs.More() {
		if len(r.chains) == maxChains {
			return nil, bad("too many chains")
		}
		var list []stamp
		for in := cs.Inner(der.Sequence); in.More(); {
			if len(list) == maxStamps {
				return nil, bad("too many timestamps")
			}
			s, err := readStamp(in)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
		if len(list) == 0 {
			return nil, bad("empty chain")
		}
		r.chains = append(r.chains, list)
	}
	if err := cs.Done(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if len(r.chains) == 0 {
		return nil, bad("no timestamp")
	}
	// Written again, all but the list of algorithms must be what was read.
	var b der.Builder
	m := b.Begin(der.Sequence)
	b.Small(1)
	b.Raw(algs.Raw)
	b.Raw(sequence(r.chains))
	b.End(m)
	if !bytes.Equal(b.Bytes(), raw) {
		return nil, bad("not in its one form")
	}
	for _, c := range r.chains {
		for i := range c {
			if c[i].alg != nil && !listed[string(c[i].alg)] {
				return nil, bad("an algorithm that is not listed")
			}
		}
	}
	return r, nil
}

func readStamp(in *der.Cursor) (stamp, error) {
	var s stamp
	c := in.Inner(der.Sequence)
	if v := c.Maybe(tagDigest); v.Present() {
		alg := c.Sub(v)
		oid := alg.OID()
		alg.Maybe(der.Null) // absent parameters, or NULL
		alg.Check(alg.Done())
		name, err := cms.DigestName(oid)
		if err != nil {
			return s, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		s.digest = name
		var b der.Builder
		m := b.Begin(der.Sequence)
		b.Raw(v.Body)
		b.End(m)
		s.alg = b.Bytes()
	}
	if v := c.Maybe(tagAttrs); v.Present() {
		s.attrs = v.Raw
	}
	if v := c.Maybe(tagTree); v.Present() {
		s.tree = [][][]byte{}
		for lists := c.Sub(v); lists.More(); {
			if len(s.tree) == maxLists {
				return s, bad("hash tree too deep")
			}
			list := [][]byte{}
			for nodes := lists.Inner(der.Sequence); nodes.More(); {
				if len(list) == maxNodes {
					return s, bad("hash tree too wide")
				}
				list = append(list, nodes.Octets())
			}
			s.tree = append(s.tree, list)
		}
		if len(s.tree) == 0 {
			return s, bad("empty hash tree")
		}
	}
	s.token = c.Want(der.Sequence).Raw
	if err := c.Done(); err != nil {
		return s, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if s.alg == nil {
		t, err := tsp.Read(s.token)
		if err != nil {
			return s, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		s.digest = t.Digest
	}
	return s, nil
}

// root leads a hash through the reduced hash tree (§4.3).
func (s *stamp) root(h []byte) ([]byte, error) {
	if s.tree == nil {
		return h, nil
	}
	for i, list := range s.tree {
		in := slices.ContainsFunc(list, func(x []byte) bool { return bytes.Equal(x, h) })
		switch {
		case i == 0 && !in:
			return nil, bad("the object is not in the hash tree")
		case i > 0:
			list = append(slices.Clone(list), h)
		}
		for _, x := range list {
			if len(x) != len(h) {
				return nil, bad("a hash of another length")
			}
		}
		var err error
		if h, err = join(s.digest, list); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// join hashes nodes in ascending order; a node alone is itself.
func join(digest string, nodes [][]byte) ([]byte, error) {
	if len(nodes) == 1 {
		return nodes[0], nil
	}
	list := slices.Clone(nodes)
	slices.SortFunc(list, bytes.Compare)
	return cms.Sum(digest, bytes.Join(list, nil))
}
