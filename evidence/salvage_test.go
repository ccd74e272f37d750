package evidence_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// T16: two bytes are wrong, one in an entry's own header and one in the directory,
// so that neither can be followed any more: the entry is named all the same, and
// the events stay right.
func TestBundle_T16_BrokenHeaderAndDirectory(t *testing.T) {
	t.Parallel()
	a := bases(t)[0]
	local := map[string]int{"signature": 0, "size": 24, "length of name": 27, "stored size": 18}
	record := map[string]int{"signature": 1, "size": 26, "length of name": 29, "offset": 45}
	var heads, records []region
	for _, g := range a.list {
		switch {
		case g.isData || g.name == "":
		case a.isEntry(g):
			heads = append(heads, g)
		default:
			records = append(records, g)
		}
	}
	require.Len(t, records, len(heads))
	end := a.list[len(a.list)-1]
	for what, at := range local {
		for i, g := range heads {
			try := func(how string, off int) {
				x := bytes.Clone(a.b)
				x[g.from+at] ^= 0x55
				x[off] ^= 0x55
				r := verify(t, x, a.o)
				require.Equal(t, evidence.Failed, r.Verdict)
				require.True(t, names(r, g.name), "%s of %s and %s: %v", what, g.name, how, troubles(r))
				require.Zero(t, r.FirstBad, "%s of %s and %s: %v", what, g.name, how, troubles(r))
			}
			for how, k := range record {
				try(how+" of its own record", records[i].from+k)
				try(how+" of the last record", records[len(records)-1].from+k)
			}
			try("size of the directory", end.from+12)
			try("signature of the end record", end.from)
		}
	}
}

// T16: an entry that its two headers call differently is named, also where the
// directory is broken elsewhere and the wrong name is as good as any.
func TestBundle_T16_TwoNamesAndABrokenDirectory(t *testing.T) {
	t.Parallel()
	a := bases(t)[0]
	var records []region
	for _, g := range a.list {
		if !g.isData && g.name != "" && !a.isEntry(g) {
			records = append(records, g)
		}
	}
	for _, g := range a.list {
		if g.isData || g.name == "" || !a.isEntry(g) {
			continue
		}
		for _, rec := range records {
			if rec.name == g.name {
				continue
			}
			for k := range g.name {
				x := bytes.Clone(a.b)
				i, j := g.from+30+k, rec.from+2+k%3
				if x[i], x[j] = 'z', 'a'; a.b[i] == 'z' {
					continue
				}
				r := verify(t, x, a.o)
				require.Equal(t, evidence.Failed, r.Verdict)
				require.True(t, names(r, g.name), "letter %d of %s, and the record of %s: %v", k, g.name, rec.name, troubles(r))
			}
			break
		}
	}
}

// Sizes that overlap are no reason to read a file more often than once or twice.
func TestBundle_OverlappingEntriesAreReadOnce(t *testing.T) {
	t.Parallel()
	le := binary.LittleEndian
	const n = 2000
	body := bytes.Repeat([]byte{'x'}, 1<<20)
	for _, own := range []bool{false, true} { // with local headers that overlap, too
		var x []byte
		if own {
			for i := range n {
				name := "docs/" + strings.Repeat("a", 10) + string(rune('a'+i%26)) + "-0.pdf"
				h := le.AppendUint32(nil, 0x04034b50)
				h = append(h, 10, 0, 0, 0, 0, 0, 0, 0, 33, 0)
				h = le.AppendUint32(h, 7)
				h = le.AppendUint32(h, uint32(len(body)))
				h = le.AppendUint32(h, uint32(len(body)))
				h = le.AppendUint16(h, uint16(len(name)))
				x = append(append(x, append(h, 0, 0)...), name...)
			}
		}
		x = append(x, body...)
		at := len(x)
		for range n {
			h := le.AppendUint32(nil, 0x02014b50)
			h = append(h, 20, 0, 10, 0, 0, 0, 0, 0, 0, 0, 33, 0)
			h = le.AppendUint32(h, 7)
			h = le.AppendUint32(h, uint32(len(body)-100))
			h = le.AppendUint32(h, uint32(len(body)-100))
			h = append(le.AppendUint16(h, 5), make([]byte, 16)...)
			x = append(append(x, h...), "README"[:5]...)
		}
		end := le.AppendUint32(nil, 0x06054b50)
		end = append(end, 0, 0, 0, 0)
		end = le.AppendUint16(le.AppendUint16(end, n), n)
		end = le.AppendUint32(le.AppendUint32(end, uint32(len(x)-at)), uint32(at))
		x = append(x, append(end, 0, 0)...)
		c := &counting{r: bytes.NewReader(x)}
		r, err := evidence.Verify(c, int64(len(x)), nil)
		if err == nil {
			assert.Equal(t, evidence.Failed, r.Verdict)
		} else {
			assert.ErrorIs(t, err, evidence.ErrUnreadable)
		}
		assert.Less(t, c.n, int64(10*len(x)), "bytes read of %d", len(x))
	}
}

type counting struct {
	r *bytes.Reader
	n int64
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(b, off)
	c.n += int64(n)
	return n, err
}

// T13: a key id follows from a name and a key. A line that a trusted key made and that
// bears another id contradicts itself; a line by a key that nobody knows does not.
func TestNote_T13_KeyIDOfAnotherKey(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	text, line, _ := strings.Cut(string(mustEntry(b, "manifest.note")), "\n\n")
	head, sig, _ := strings.Cut(strings.TrimSuffix(line, "\n"), origin+" ")
	raw := must(base64.StdEncoding.DecodeString(sig))
	with := func(raw []byte) *evidence.Report {
		return verify(t, repack(b, func(f map[string][]byte) {
			f["manifest.note"] = []byte(text + "\n\n" + head + origin + " " + base64.StdEncoding.EncodeToString(raw) + "\n")
		}), o)
	}
	require.Equal(t, evidence.Passed, with(raw).Verdict)
	for i := range 32 {
		x := bytes.Clone(raw)
		x[i/8] ^= 1 << (i % 8)
		r := with(x)
		require.Equal(t, evidence.Failed, r.Verdict, "bit %d", i)
		require.True(t, names(r, "manifest.note"), troubles(r))
		require.Zero(t, r.FirstBad)
	}
	other := newWorldWithKey(t, newTestKey(8), nil)
	other.envelope("nda-17")
	strange := mustEntry(other.export("nda-17", nil), "manifest.note")
	_, line, _ = strings.Cut(string(strange), "\n\n")
	_, sig, _ = strings.Cut(strings.TrimSuffix(line, "\n"), origin+" ")
	r := with(must(base64.StdEncoding.DecodeString(sig)))
	assert.Equal(t, evidence.Indeterminate, r.Verdict, "the log may have a newer key: %v", troubles(r))
	assert.True(t, r.Has(evidence.CodeLogKey, evidence.Indeterminate))
	x := append(must(base64.StdEncoding.DecodeString(sig))[:4:4], raw[4:]...) // its id with the trusted key's signature
	assert.Equal(t, evidence.Failed, with(x).Verdict)
}
