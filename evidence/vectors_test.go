package evidence_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/privacy"
)

var update = flag.Bool("update", false, "write vectors that are missing; those that are there are frozen")

const vectorDir = "testdata/vectors"

// frozen reads a vector; with -update it writes one that is not there yet.
func frozen(t *testing.T, name string, make func() []byte) []byte {
	t.Helper()
	path := filepath.Join(vectorDir, filepath.FromSlash(name))
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) && *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		b = make()
		require.NoError(t, os.WriteFile(path, b, 0o644))
		return b
	}
	require.NoError(t, err, "run with -update once a vector is new")
	return b
}

func frozenJSON[T any](t *testing.T, name string, make func() T) T {
	t.Helper()
	b := frozen(t, name, func() []byte { return append(must(json.MarshalIndent(make(), "", "  ")), '\n') })
	var v T
	require.NoError(t, json.Unmarshal(b, &v))
	return v
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func TestVectorsJCS(t *testing.T) {
	t.Parallel()
	type vector struct {
		Accept []string `json:"accept"`
		Reject []string `json:"reject"` // hexadecimal
	}
	v := frozenJSON(t, "jcs.json", func() vector {
		v := vector{Accept: []string{`{}`, `[]`, `[[],{}]`, `""`, `0`, `-1`, `9007199254740991`, `-9007199254740991`, `true`, `{"a":1,"b_2":"张","c":[false]}`,
			`"\b\t\n\f\r\"\\\u0000\u001f` + "\u007f/\u2028\U0001f600" + `"`}}
		for _, s := range []string{``, `null`, `1.0`, `1e2`, `-0`, `01`, `9007199254740992`, ` {}`, `{} `, `{"a":1,"a":1}`, `{"b":1,"a":1}`, `{"A":1}`, `{"":1}`,
			`[1,]`, `"\/"`, `"\u0041"`, `"\u001F"`, `"\ud83d\ude00"`, `"\ud800"`, "\"\xed\xa0\x80\"", "\"\xff\"", "\"\xc0\x80\"", "\"\n\"", "\ufeff{}",
			strings.Repeat("[", 18) + strings.Repeat("]", 18)} {
			v.Reject = append(v.Reject, hex.EncodeToString([]byte(s)))
		}
		return v
	})
	for _, s := range v.Accept {
		x, err := canon.Parse([]byte(s), 1<<14)
		require.NoError(t, err, s)
		assert.Equal(t, s, string(must(canon.Append(nil, x))))
	}
	for _, s := range v.Reject {
		_, err := canon.Parse(unhex(s), 1<<14)
		assert.ErrorIs(t, err, canon.ErrForm, s)
	}
}

func TestVectorsChain(t *testing.T) {
	t.Parallel()
	type vector struct {
		Origin  string   `json:"origin"`
		Tenant  string   `json:"tenant"`
		Env     string   `json:"env"`
		Genesis string   `json:"genesis"`
		Blind   string   `json:"blind"`
		Events  []string `json:"events"`
		Hashes  []string `json:"hashes"`
		Leaves  []string `json:"leaves"`
	}
	blind := bytes.Repeat([]byte{9}, 32)
	v := frozenJSON(t, "chain.json", func() vector {
		w := newWorld(t, nil)
		for i, typ := range evidence.Types() { // one event per type
			x := map[string]any{}
			for _, k := range typ.X {
				x[k] = "0"
			}
			if typ.Name == evidence.TypeSealed {
				continue
			}
			w.advance(time.Second)
			must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "vector", Type: typ.Name, Actor: evidence.Actor{ID: "u" + strconv.Itoa(i), Role: "r", Account: "a"},
				X: x, Docs: []evidence.DocChange{{ID: "d", Rev: i, Before: evidence.DigestsOf([]byte{byte(i)}), After: evidence.DigestsOf([]byte{byte(i + 1)})}}}))
		}
		must(w.log.SealChain(w.ctx, evidence.SealDraft{Tenant: "acme", Env: "vector", Actor: evidence.Actor{ID: "system"}}))
		v := vector{Origin: origin, Tenant: "acme", Env: "vector", Genesis: hex.EncodeToString(evidence.Genesis(origin, "acme", "vector")), Blind: hex.EncodeToString(blind)}
		for e, err := range w.log.Events(w.ctx, "acme", "vector", 0) {
			require.NoError(t, err)
			v.Events = append(v.Events, string(e.Bytes()))
			v.Hashes = append(v.Hashes, hex.EncodeToString(e.Hash()))
			v.Leaves = append(v.Leaves, string(evidence.LeafBytes(blind, "vector", e.Seq, e.Bytes())))
		}
		return v
	})
	assert.Equal(t, v.Genesis, hex.EncodeToString(evidence.Genesis(v.Origin, v.Tenant, v.Env)))
	prev := v.Genesis
	for i, s := range v.Events {
		e, err := evidence.ParseEvent([]byte(s))
		require.NoError(t, err)
		assert.Equal(t, prev, hex.EncodeToString(e.Prev))
		assert.True(t, evidence.Known(e.Type), "a type is never removed: %s", e.Type)
		assert.Equal(t, v.Hashes[i], hex.EncodeToString(e.Hash()))
		leaf := evidence.LeafBytes(unhex(v.Blind), v.Env, e.Seq, []byte(s))
		assert.Equal(t, v.Leaves[i], string(leaf))
		assert.Less(t, len(leaf), 256)
		prev = v.Hashes[i]
	}
}

func TestVectorsCommitment(t *testing.T) {
	t.Parallel()
	type vector struct {
		Env, Field, Value, Salt, C string
		Seq                        uint64
	}
	list := frozenJSON(t, "commitments.json", func() []vector {
		w := newWorld(t, nil)
		w.envelope("nda-17")
		var out []vector
		for line := range bytes.Lines(mustEntry(w.export("nda-17", nil), "disclosures.jsonl")) {
			var d struct {
				F, Salt, Value string
				Seq            uint64
			}
			require.NoError(t, json.Unmarshal(line, &d))
			for e, err := range w.log.Events(w.ctx, "acme", "nda-17", d.Seq-1) {
				require.NoError(t, err)
				for _, p := range e.Personal {
					if privacy.NewOpening(p.Field, unhex(d.Salt), d.Value).Opens(p.C, privacy.Context{Env: "nda-17", Seq: d.Seq}) {
						out = append(out, vector{"nda-17", d.F, d.Value, d.Salt, hex.EncodeToString(p.C), d.Seq})
					}
				}
				break
			}
		}
		return out
	})
	require.NotEmpty(t, list)
	for _, v := range list {
		at := privacy.Context{Env: v.Env, Seq: v.Seq}
		o := privacy.NewOpening(privacy.Field(v.Field), unhex(v.Salt), v.Value)
		assert.True(t, o.Opens(unhex(v.C), at))
		at.Seq++
		assert.False(t, o.Opens(unhex(v.C), at))
	}
}

// Roots of trees whose leaf n is the decimal form of n (RFC 6962).
func TestVectorsTrees(t *testing.T) {
	t.Parallel()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(ix []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ix))
		for i, x := range ix {
			out[i] = stored[x]
		}
		return out, nil
	})
	roots := map[string]string{}
	for n := range int64(65536) {
		stored = append(stored, must(tlog.StoredHashes(n, []byte(strconv.FormatInt(n, 10)), reader))...)
		switch n + 1 {
		case 1, 2, 3, 255, 256, 257, 65536:
			h := must(tlog.TreeHash(n+1, reader))
			roots[strconv.FormatInt(n+1, 10)] = hex.EncodeToString(h[:])
		}
	}
	assert.Equal(t, frozenJSON(t, "trees.json", func() map[string]string { return roots }), roots)
}

// Bundles good and bad, with what a verifier says of each under trust.txt. Each
// bad one is signed by the log's own key again, so that one check finds it.
func TestVectorsBundles(t *testing.T) {
	t.Parallel()
	if *update {
		makeBundles(t)
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "bundles", "*.esev"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	trust, err := evidence.ParseTrust(bytes.NewReader(must(os.ReadFile(filepath.Join(vectorDir, "bundles", "trust.txt")))))
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, path := range files {
		b := must(os.ReadFile(path))
		r := verify(t, b, &evidence.VerifyOptions{Keys: trust})
		got := append(must(json.MarshalIndent(r, "", "  ")), '\n')
		name := strings.TrimSuffix(filepath.Base(path), ".esev")
		assert.Equal(t, string(frozen(t, "bundles/"+name+".json", func() []byte { return got })), string(got), name)
		if code, ok := strings.CutPrefix(name, "failed-"); ok {
			code = strings.ToUpper(strings.ReplaceAll(strings.TrimRight(code, "-0123456789"), "-", "_"))
			assert.True(t, r.Has(code, evidence.Failed), "%s: %v", name, troubles(r))
			for _, c := range r.Checks {
				if c.Verdict == evidence.Failed {
					assert.Equal(t, code, c.Code, "%s: one check finds it: %v", name, troubles(r))
				}
			}
			seen[code] = true
		}
	}
	for _, code := range []string{evidence.CodeContainer, evidence.CodeManifest, evidence.CodeManifestNote, evidence.CodeEvent, evidence.CodeChain, evidence.CodeSeal,
		evidence.CodeInclusion, evidence.CodeCheckpoint, evidence.CodeConsistency, evidence.CodeAnchor, evidence.CodeDocument, evidence.CodeDisclosure} {
		assert.True(t, seen[code], "no vector for %s", code)
	}
}

func makeBundles(t *testing.T) {
	w, s := anchoredPair(t)
	sealed := w.export("nda-17", nil)
	put := func(name string, b []byte) { frozen(t, "bundles/"+name, func() []byte { return b }) }
	if _, err := os.Stat(filepath.Join(vectorDir, "bundles", "trust.txt")); err == nil {
		return // one trust file: all bundles come of one run
	}
	put("trust.txt", []byte("# keys of these vectors, for tests only\nlog "+w.log.VerifierKey()+"\n"+s.trustLines()))
	put("sealed.esev", sealed)
	put("digests-only.esev", w.export("nda-17", &evidence.ExportOptions{DigestsOnly: true}))
	put("undisclosed.esev", w.export("nda-17", &evidence.ExportOptions{}))
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "draft", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}}))
	w.anchor()
	put("open.esev", w.export("draft", &evidence.ExportOptions{DigestsOnly: true}))
	must(w.log.EraseSubject(w.ctx, privacy.Subject{Tenant: "acme", ID: "li"}, evidence.Actor{ID: "dpo"}, "request"))
	put("unanchored-tail.esev", w.export("nda-17", nil))
	w.anchor()
	put("erased.esev", w.export("nda-17", nil))

	bad := func(code string, b []byte) {
		put("failed-"+strings.ToLower(strings.ReplaceAll(code, "_", "-"))+".esev", b)
	}
	resign := func(change func(map[string][]byte)) []byte {
		files := map[string][]byte{}
		for _, g := range regions(sealed) {
			if g.isData {
				files[g.name] = bytes.Clone(sealed[g.from:g.to])
			}
		}
		change(files)
		return w.log.Resign(files, nil)
	}
	edit := func(name, from, to string) func(map[string][]byte) {
		return func(f map[string][]byte) {
			require.True(t, bytes.Contains(f[name], []byte(from)), "%s %s", name, from)
			f[name] = bytes.Replace(f[name], []byte(from), []byte(to), 1)
		}
	}
	// Without log material a lie in the events stands alone.
	bare := func(change func(map[string][]byte)) []byte {
		files := map[string][]byte{}
		for _, g := range regions(sealed) {
			if g.isData && !strings.HasPrefix(g.name, "proofs/") && !strings.HasPrefix(g.name, "anchors/") && !strings.HasPrefix(g.name, "consistency/") &&
				g.name != "disclosures.jsonl" {
				files[g.name] = bytes.Clone(sealed[g.from:g.to])
			}
		}
		change(files)
		return w.log.Resign(files, func(c *evidence.Claim) { c.Size = 0 })
	}
	note := mustEntry(sealed, "manifest.note")
	bad(evidence.CodeContainer, append(bytes.Clone(sealed), 0))
	bad(evidence.CodeManifest, repack(sealed, edit("HOWTO-VERIFY.txt", "8. Disclosures", "8. disclosures")))
	bad(evidence.CodeManifestNote, repack(sealed, func(f map[string][]byte) {
		i := bytes.LastIndexByte(bytes.TrimSpace(note), ' ') + 20
		x := bytes.Clone(note)
		if x[i] == 'A' {
			x[i] = 'B'
		} else {
			x[i] = 'A'
		}
		f["manifest.note"] = x
	}))
	last := func(from, to string) func(map[string][]byte) { // the last event has no successor to contradict it
		return func(f map[string][]byte) {
			l := bytes.SplitAfter(f["events.jsonl"], []byte("\n"))
			i := len(l) - 2
			require.True(t, bytes.Contains(l[i], []byte(from)))
			l[i] = bytes.Replace(l[i], []byte(from), []byte(to), 1)
			f["events.jsonl"] = bytes.Join(l, nil)
		}
	}
	bad(evidence.CodeEvent, bare(last(`"seq":8`, `"seq": 8`)))
	bad(evidence.CodeChain, bare(edit("events.jsonl", `"channel":"api"`, `"channel":"web"`)))
	bad(evidence.CodeSeal, bare(last(`"type":"document.downloaded"`, `"type":"recipient.added"`)))
	bad(evidence.CodeInclusion, resign(func(f map[string][]byte) { f["proofs/2.tlog-proof"] = f["proofs/3.tlog-proof"] }))
	bad(evidence.CodeConsistency, resign(func(f map[string][]byte) { f["consistency/8-16.txt"] = nil }))
	bad(evidence.CodeAnchor, resign(func(f map[string][]byte) { f["anchors/16-tsa.tsr"] = f["anchors/8-tsa.tsr"] }))
	bad(evidence.CodeDocument, resign(edit("docs/nda-2.pdf", "contract", "Contract")))
	bad(evidence.CodeDisclosure, resign(edit("disclosures.jsonl", `"value":"13800138000"`, `"value":"13800138001"`)))
	cp := string(mustEntry(sealed, "anchors/16-checkpoint.txt"))
	head, sig, _ := strings.Cut(cp, "\n\n")
	i := strings.LastIndex(sig, " ") + 20
	forged := head + "\n\n" + sig[:i] + swapLetter(sig[i:i+1]) + sig[i+1:]
	bad(evidence.CodeCheckpoint, resign(func(f map[string][]byte) {
		for name, b := range f {
			if strings.HasPrefix(name, "proofs/") || strings.HasPrefix(name, "anchors/") {
				f[name] = bytes.Replace(b, []byte(cp), []byte(forged), 1)
			}
		}
	}))
}

func swapLetter(s string) string {
	if s == "A" {
		return "B"
	}
	return "A"
}
