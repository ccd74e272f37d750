package evidence_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// A region is what a range of a bundle's bytes belongs to.
type region struct {
	name     string
	from, to int
	isData   bool
}

// regions maps a well-formed bundle.
func regions(b []byte) []region {
	var out []region
	le := binary.LittleEndian
	pos := 0
	for le.Uint32(b[pos:]) == 0x04034b50 {
		n, size := int(le.Uint16(b[pos+26:])), int(le.Uint32(b[pos+22:]))
		name := string(b[pos+30 : pos+30+n])
		out = append(out, region{name: name, from: pos, to: pos + 30 + n}, region{name: name, from: pos + 30 + n, to: pos + 30 + n + size, isData: true})
		pos += 30 + n + size
	}
	for le.Uint32(b[pos:]) == 0x02014b50 {
		n := int(le.Uint16(b[pos+28:]))
		out = append(out, region{name: string(b[pos+46 : pos+46+n]), from: pos, to: pos + 46 + n})
		pos += 46 + n
	}
	return append(out, region{from: pos, to: len(b)})
}

func names(r *evidence.Report, path string) bool {
	for _, c := range r.Checks {
		if c.Verdict == evidence.Failed && c.Path == path {
			return true
		}
	}
	return false
}

// lineAt is the number of the event whose line, newline included, has a byte.
func lineAt(data []byte, off int) uint64 { return uint64(bytes.Count(data[:off], []byte("\n"))) + 1 }

func TestBundleEveryByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust()}
	for _, g := range regions(b) {
		step := 1
		switch {
		case *mutations >= 10000 || !g.isData:
		case g.name == "events.jsonl":
			step = 3
		default:
			step = 23
		}
		for i := g.from; i < g.to; i += step {
			x := bytes.Clone(b)
			x[i] ^= 1 << (i % 8)
			r := verify(t, x, o)
			require.Equal(t, evidence.Failed, r.Verdict, "byte %d of %s", i, g.name)
			if g.name != "" {
				require.True(t, names(r, g.name), "byte %d of %s (data %v): %v", i, g.name, g.isData, troubles(r))
			}
			if g.isData && g.name == "events.jsonl" {
				require.Equal(t, lineAt(b[g.from:g.to], i-g.from), r.FirstBad, "byte %d: %v", i-g.from, troubles(r))
			} else if g.isData {
				require.Zero(t, r.FirstBad, "byte %d of %s: %v", i, g.name, troubles(r))
			}
		}
	}
}

// repack writes a bundle again from changed entries, with fresh checksums and
// sizes, and without the log's key: the container is in order, the content not.
func repack(b []byte, change func(map[string][]byte)) []byte {
	files := map[string][]byte{}
	for _, g := range regions(b) {
		if g.isData {
			files[g.name] = bytes.Clone(b[g.from:g.to])
		}
	}
	change(files)
	return evidence.WriteContainer(files)
}

func TestBundleSplices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	w.envelope("nda-18")
	b, other := w.export("nda-17", nil), w.export("nda-18", nil)
	o := &evidence.VerifyOptions{Keys: w.trust()}
	foreign := map[string][]byte{}
	for _, g := range regions(other) {
		if g.isData {
			foreign[g.name] = other[g.from:g.to]
		}
	}
	lines := func(f map[string][]byte) [][]byte {
		l := bytes.SplitAfter(f["events.jsonl"], []byte("\n"))
		return l[:len(l)-1] // what follows the last newline
	}
	set := func(f map[string][]byte, l [][]byte) {
		f["events.jsonl"] = bytes.Join(l, nil)
	}
	for i := range uint64(envelopeEvents) {
		n := i + 1
		t.Run(fmt.Sprintf("event %d removed, doubled, swapped, replaced, back-dated", n), func(t *testing.T) {
			cut := func(l [][]byte) [][]byte { return append(append([][]byte{}, l[:i]...), l[i+1:]...) }
			for kind, change := range map[string]func(f map[string][]byte){
				"removed": func(f map[string][]byte) { set(f, cut(lines(f))) },
				"doubled": func(f map[string][]byte) {
					l := lines(f)
					set(f, append(append(append([][]byte{}, l[:i+1]...), l[i]), l[i+1:]...))
				},
				"tail cut": func(f map[string][]byte) { set(f, lines(f)[:i]) },
				"replaced": func(f map[string][]byte) { l := lines(f); l[i] = lines(foreign)[i]; set(f, l) },
				"back-dated": func(f map[string][]byte) {
					l := lines(f)
					l[i] = bytes.Replace(l[i], []byte(`"at":"2026`), []byte(`"at":"2025`), 1)
					set(f, l)
				},
			} {
				r := verify(t, repack(b, change), o)
				want := n
				if kind == "doubled" {
					want = n + 1
				}
				assert.Equal(t, evidence.Failed, r.Verdict, kind)
				assert.Equal(t, want, r.FirstBad, "%s: %v", kind, troubles(r))
				assert.True(t, names(r, "events.jsonl"), kind)
			}
			for j := range i {
				r := verify(t, repack(b, func(f map[string][]byte) {
					l := lines(f)
					l[i], l[j] = l[j], l[i]
					set(f, l)
				}), o)
				assert.Equal(t, j+1, r.FirstBad, "swapped %d and %d: %v", j+1, n, troubles(r))
			}
		})
	}
	t.Run("whole entries", func(t *testing.T) {
		for name := range foreign {
			if bytes.Equal(foreign[name], mustEntry(b, name)) {
				continue
			}
			r := verify(t, repack(b, func(f map[string][]byte) { f[name] = foreign[name] }), o)
			assert.Equal(t, evidence.Failed, r.Verdict, name)
			r = verify(t, repack(b, func(f map[string][]byte) { delete(f, name) }), o)
			assert.Equal(t, evidence.Failed, r.Verdict, name)
			assert.True(t, names(r, name), "%s: %v", name, troubles(r))
		}
		r := verify(t, repack(b, func(f map[string][]byte) { f["docs/extra-0.pdf"] = []byte("x") }), o)
		assert.True(t, names(r, "docs/extra-0.pdf"), troubles(r))
	})
	t.Run("rewritten by who lacks the key", func(t *testing.T) {
		// Another operator with the same origin makes a perfect bundle.
		forger := newWorldWithKey(t, newTestKey(8), nil)
		forger.envelope("nda-17")
		r := verify(t, forger.export("nda-17", nil), o)
		assert.NotEqual(t, evidence.Passed, r.Verdict)
		assert.True(t, r.Has(evidence.CodeLogKey, evidence.Indeterminate), troubles(r))
	})
}

func mustEntry(b []byte, name string) []byte {
	for _, g := range regions(b) {
		if g.isData && g.name == name {
			return b[g.from:g.to]
		}
	}
	return nil
}

func TestBundleZipTrickery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust()}
	for name, x := range map[string][]byte{
		"bytes in front": append([]byte("#!/bin/sh\n"), b...),
		"bytes behind":   append(bytes.Clone(b), 0),
		"tail cut":       b[:len(b)-1],
		"comment":        append(bytes.Clone(b[:len(b)-2]), 1, 0, 'x'),
		"two archives":   append(bytes.Clone(b), b...),
	} {
		r, err := evidence.Verify(bytes.NewReader(x), int64(len(x)), o)
		if err != nil {
			assert.ErrorIs(t, err, evidence.ErrUnreadable, name)
			continue
		}
		assert.Equal(t, evidence.Failed, r.Verdict, name)
	}
	for _, x := range [][]byte{nil, []byte("PK"), bytes.Repeat([]byte{0}, 4096), contract} {
		_, err := evidence.Verify(bytes.NewReader(x), int64(len(x)), o)
		assert.ErrorIs(t, err, evidence.ErrUnreadable)
	}
}
