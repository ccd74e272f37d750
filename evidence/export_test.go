package evidence

import (
	"bytes"
	"crypto/sha256"
)

// WriteContainer lets tests write a bundle's container from any entries.
func WriteContainer(files map[string][]byte) []byte {
	var list []*source
	for name, b := range files {
		s := sourceOf(name, b)
		if err := s.measure(); err != nil {
			panic(err)
		}
		list = append(list, s)
	}
	var out bytes.Buffer
	if _, err := writeContainer(&out, list); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Resign makes a bundle of changed entries as an operator would who lies with
// the log's key in hand: manifest, hashes and head are computed again.
func (l *Log) Resign(files map[string][]byte, change func(*Claim)) []byte {
	m, err := parseManifest(files[pathManifest])
	if err != nil {
		panic(err)
	}
	delete(files, pathManifest)
	delete(files, pathNote)
	m.hashes, m.entries = nil, nil
	for line := range bytes.Lines(files[pathEvents]) {
		h := sha256.Sum256(bytes.TrimSuffix(line, []byte("\n")))
		m.hashes = append(m.hashes, h[:])
	}
	m.claim.Last, m.claim.Head = uint64(len(m.hashes)), m.hashes[len(m.hashes)-1]
	if change != nil {
		change(&m.claim)
	}
	var sources []*source
	for name, b := range files {
		sources = append(sources, sourceOf(name, b))
	}
	var out bytes.Buffer
	if _, err := l.write(&out, m, sources, 0); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// What fuzz tests and vectors reach.
var (
	ParseNote  = func(b []byte) error { _, err := parseNote(b); return err }
	ParseProof = func(b []byte) (uint64, error) { leaf, _, _, err := parseProof(b); return leaf, err }
	LeafBytes  = leafBytes
	DocPath    = docPath
)

// TypeName is for the test that every type has its words.
var TypeName = typeName
