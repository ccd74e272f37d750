package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
)

// T15: what a hostile party may hand to a court's expert. Each is judged in good time,
// and none passes.

// Sizes near the end of 64 bits: in trees that large the arithmetic of proofs would
// never end. Nobody's signature is needed to say them.
func TestHostile_T15_TreesThatNeverEnd(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	old := mustEntry(b, "anchors/16-checkpoint.txt")
	for _, size := range []uint64{1<<60 + 1, 1<<62 + 1, 1<<63 - 1} {
		root := bytes.Split(old, []byte("\n"))[2]
		cp := w.log.SignNote(fmt.Sprintf("%s\n%d\n%s\n", origin, size, root))
		for name, change := range map[string]func(map[string][]byte){
			"in place": func(f map[string][]byte) {
				for name := range f {
					f[name] = bytes.ReplaceAll(f[name], old, cp)
				}
			},
			"renamed": func(f map[string][]byte) {
				for name := range f {
					f[name] = bytes.ReplaceAll(f[name], old, cp)
					if to := strings.ReplaceAll(name, "16", fmt.Sprint(size)); to != name {
						f[to] = f[name]
						delete(f, name)
					}
				}
			},
		} {
			for _, signed := range []bool{false, true} {
				files := map[string][]byte{}
				for n, x := range entries(b) {
					files[n] = x
				}
				change(files)
				var x []byte
				if signed {
					x = w.log.Resign(files, func(c *evidence.Claim) { c.Size = size & (1<<53 - 1) })
				} else {
					x = evidence.WriteContainer(files)
				}
				assert.Equal(t, evidence.Failed, verify(t, x, o).Verdict, "%d %s", size, name)
				assert.Equal(t, evidence.Failed, verify(t, x, nil).Verdict, "%d %s", size, name)
			}
		}
		r := receipt(t, w, "nda-17")
		r.Proof = strings.Replace(r.Proof, string(old), string(cp), 1)
		_, err := evidence.Compare(r, r, o)
		require.ErrorIs(t, err, evidence.ErrReceipt)
		got := verify(t, b, &evidence.VerifyOptions{Keys: o.Keys, Held: []evidence.Receipt{r}})
		assert.Equal(t, evidence.Indeterminate, got.Verdict)
	}
}

// A claim names the newest seal: an older one would hide that the chain went on.
func TestHostile_T15_OlderSealClaimed(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	must(w.log.SealChain(w.ctx, evidence.SealDraft{Tenant: "acme", Env: "nda-17", Actor: evidence.Actor{ID: "system"}}))
	w.anchor()
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	require.Equal(t, evidence.Passed, verify(t, b, o).Verdict)
	r := verify(t, w.log.Resign(entries(b), func(c *evidence.Claim) { c.Seal = 7 }), o)
	assert.Equal(t, evidence.Failed, r.Verdict)
	assert.True(t, r.Has(evidence.CodeSeal, evidence.Failed), troubles(r))
	assert.EqualValues(t, 9, r.FirstBad)
}

// A disk that fails is no forgery.
func TestHostile_ReadErrorsAreNoVerdict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.envelope("nda-17")
	b := w.export("nda-17", nil)
	bad := errors.New("input/output error")
	for n := range 60 {
		_, err := evidence.Verify(&failing{b: b, left: n, err: bad}, int64(len(b)), &evidence.VerifyOptions{Keys: w.trust()})
		if err == nil {
			require.Positive(t, n)
			continue
		}
		require.ErrorIs(t, err, bad, "reading %d", n)
	}
}

type failing struct {
	b    []byte
	left int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

// More of the same: a proof, a token or a receipt under a second name, a proof that is
// of another event, an anchor of a checkpoint that is not there, and entries that say
// one thing twice.
func TestHostile_T15_Doubles(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	for name, c := range map[string]struct {
		code   string
		change func(map[string][]byte)
	}{
		"a proof under another spelling of its number": {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/03.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"a proof without a number":                     {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/x.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"a proof of event 2^63":                        {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/9223372036854775808.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"a proof of event 2^64 + 3":                    {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/18446744073709551619.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"a proof of event 0":                           {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/0.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"another event's proof":                        {evidence.CodeInclusion, func(f map[string][]byte) { f["proofs/4.tlog-proof"] = f["proofs/3.tlog-proof"] }},
		"extra data in a proof": {evidence.CodeInclusion, func(f map[string][]byte) {
			f["proofs/3.tlog-proof"] = bytes.Replace(f["proofs/3.tlog-proof"], []byte("\nindex"), []byte("\nextra eHl6\nindex"), 1)
		}},
		"an index near 2^62": {evidence.CodeInclusion, func(f map[string][]byte) {
			lines := bytes.SplitN(f["proofs/3.tlog-proof"], []byte("\n"), 3)
			f["proofs/3.tlog-proof"] = bytes.Join([][]byte{lines[0], []byte("index 4611686018427387903"), lines[2]}, []byte("\n"))
		}},
		"a checkpoint under another size": {evidence.CodeCheckpoint, func(f map[string][]byte) { f["anchors/9-checkpoint.txt"] = f["anchors/8-checkpoint.txt"] }},
		"a token of no checkpoint":        {evidence.CodeAnchor, func(f map[string][]byte) { f["anchors/9-tsa.tsr"] = f["anchors/8-tsa.tsr"] }},
		"a token of another checkpoint":   {evidence.CodeAnchor, func(f map[string][]byte) { f["anchors/16-other.tsr"] = f["anchors/8-tsa.tsr"] }},
		"a token that is no token":        {evidence.CodeAnchor, func(f map[string][]byte) { f["anchors/16-other.tsr"] = []byte("0") }},
		"an opening given twice": {evidence.CodeDisclosure, func(f map[string][]byte) {
			l := bytes.SplitAfter(f["disclosures.jsonl"], []byte("\n"))
			f["disclosures.jsonl"] = append(bytes.Clone(l[0]), f["disclosures.jsonl"]...)
		}},
		"an opening of another event": {evidence.CodeDisclosure, func(f map[string][]byte) {
			f["disclosures.jsonl"] = bytes.Replace(f["disclosures.jsonl"], []byte(`"seq":3`), []byte(`"seq":4`), 1)
		}},
		"an opening without its newline": {evidence.CodeDisclosure, func(f map[string][]byte) {
			f["disclosures.jsonl"] = bytes.TrimSuffix(f["disclosures.jsonl"], []byte("\n"))
		}},
		"a second revision of the document": {evidence.CodeDocument, func(f map[string][]byte) { f["docs/nda-1.pdf"] = f["docs/nda-2.pdf"] }},
		"events without a last newline":     {evidence.CodeEvent, func(f map[string][]byte) { f["events.jsonl"] = bytes.TrimSuffix(f["events.jsonl"], []byte("\n")) }},
		"an empty last line":                {evidence.CodeEvent, func(f map[string][]byte) { f["events.jsonl"] = append(bytes.Clone(f["events.jsonl"]), '\n') }},
	} {
		files := map[string][]byte{}
		for n, x := range entries(b) {
			files[n] = x
		}
		c.change(files)
		r := verify(t, w.log.Resign(files, nil), o) // by who has the key
		assert.Equal(t, evidence.Failed, r.Verdict, name)
		assert.True(t, r.Has(c.code, evidence.Failed), "%s: %v", name, troubles(r))
	}
	text, line, _ := strings.Cut(string(mustEntry(b, "manifest.note")), "\n\n")
	for name, note := range map[string]string{
		"two signatures":           text + "\n\n" + line + line,
		"a second, unknown signer": text + "\n\n" + line + strings.Replace(line, origin, "other.example.com", 1),
		"stray bits":               text + "\n\n" + strings.TrimSuffix(line, "\n") + "=\n",
		"a carriage return":        text + "\n\n" + strings.TrimSuffix(line, "\n") + "\r\n",
		"no newline":               text + "\n\n" + strings.TrimSuffix(line, "\n"),
		"text behind":              text + "\n\n" + line + "\n",
		"another label":            strings.Replace(text, "manifest/v1", "manifest/v2", 1) + "\n\n" + line,
		"another signer's name":    text + "\n\n" + strings.Replace(line, origin, "other.example.com", 1),
	} {
		r := verify(t, repack(b, func(f map[string][]byte) { f["manifest.note"] = []byte(note) }), o)
		assert.Equal(t, evidence.Failed, r.Verdict, "%s: %v", name, troubles(r))
		assert.True(t, names(r, "manifest.note"), "%s: %v", name, troubles(r))
		assert.Zero(t, r.FirstBad, name)
	}
}

// Half a million documents in one chain are found one by one, not each among all
// others before it: that would take hours.
func TestHostile_T15_ManyDocuments(t *testing.T) {
	t.Parallel()
	const n = 500_000
	events := make([]evidence.Event, n)
	d := evidence.DigestsOf([]byte("x"))
	for i := range events {
		events[i] = evidence.Event{Seq: uint64(i) + 1, Docs: []evidence.DocChange{{ID: fmt.Sprintf("document-%09d", i), After: d}, {ID: "same", Rev: i, After: d}}}
	}
	assert.Equal(t, n+1, evidence.FinalDocs(events))
}
