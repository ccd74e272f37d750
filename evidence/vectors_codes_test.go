package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/evidence"
)

const moreDir = "bundles-2"

// Codes without a bundle that fails by them, and why.
var neverFailed = map[string]string{
	"LOG_KEY_UNKNOWN":      "trust is missing: INDETERMINATE",
	"EVENT_TYPE_UNKNOWN":   "a newer release: INDETERMINATE",
	"ANCHOR_UNTRUSTED":     "trust is missing: INDETERMINATE",
	"RENEWED_DIGESTS_ONLY": "says what was renewed: PASSED",
	"OPERATOR_UNBOUND":     "an anchor is missing: INDETERMINATE",
	"CLOCK_OUTSIDE_WINDOW": "not judged: INDETERMINATE",
	"DOCUMENT_ABSENT":      "bytes are missing: INDETERMINATE",
	"DOCUMENT_SIGNATURES":  "the verdict of the caller's own check",
	"ACCESS_LOG":           "of stores, not of bundles: see access_test.go",
	"UNEXPLAINED_LOSS":     "of stores, not of bundles: see store_test.go",
}

// Every code there is has a frozen bundle that fails by it and nothing else, or stands
// in neverFailed (A10).
func TestVectors_A10_OneBundleForEachCode(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "report.go", nil, 0)
	require.NoError(t, err)
	codes := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") {
			codes[must(strconv.Unquote(v.Values[0].(*ast.BasicLit).Value))] = true
		}
		return true
	})
	require.Len(t, codes, 25, "a new code needs a vector, or a word on why it has none")
	have := map[string]bool{}
	for _, dir := range []string{"bundles", moreDir, "ers"} {
		for _, path := range must(filepath.Glob(filepath.Join(vectorDir, dir, "failed-*.esev"))) {
			have[codeOf(path)] = true
		}
	}
	for code := range codes {
		if neverFailed[code] == "" {
			assert.True(t, have[code], "no bundle fails by %s", code)
		} else {
			assert.False(t, have[code], code)
		}
	}
	for code := range have {
		assert.True(t, codes[code], "%s is no code", code)
	}
}

func codeOf(path string) string {
	name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(path), ".esev"), "failed-")
	return strings.ToUpper(strings.ReplaceAll(strings.TrimRight(name, "-0123456789"), "-", "_"))
}

// More frozen bundles, of another run and so under a trust file of their own, each with
// what a verifier says of it; receipts held are in <name>.held.
func TestVectors_A10_MoreBundles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(vectorDir, moreDir)
	if _, err := os.Stat(filepath.Join(dir, "trust.txt")); *update && err != nil {
		makeMoreBundles(t)
	}
	trust, err := evidence.ParseTrust(bytes.NewReader(must(os.ReadFile(filepath.Join(dir, "trust.txt")))))
	require.NoError(t, err)
	files := must(filepath.Glob(filepath.Join(dir, "*.esev")))
	require.Len(t, files, 11)
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".esev")
		o := &evidence.VerifyOptions{Keys: trust}
		if b, err := os.ReadFile(filepath.Join(dir, name+".held")); err == nil {
			require.NoError(t, json.Unmarshal(b, &o.Held))
		}
		r := verify(t, must(os.ReadFile(path)), o)
		got := append(must(json.MarshalIndent(r, "", "  ")), '\n')
		assert.Equal(t, string(frozen(t, moreDir+"/"+name+".json", func() []byte { return got })), string(got), name)
		switch {
		case strings.HasPrefix(name, "failed-"):
			code := codeOf(path)
			assert.Equal(t, evidence.Failed, r.Verdict, name)
			for _, c := range r.Checks {
				if c.Verdict == evidence.Failed {
					assert.Equal(t, code, c.Code, "%s: one check finds it: %v", name, troubles(r))
				}
			}
			assert.True(t, r.Has(code, evidence.Failed), name)
		case strings.HasPrefix(name, "open-"):
			code := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(name, "open-"), "-", "_"))
			assert.Equal(t, evidence.Indeterminate, r.Verdict, "%s: %v", name, troubles(r))
			assert.True(t, r.Has(code, evidence.Indeterminate), "%s: %v", name, troubles(r))
		default:
			assert.Equal(t, evidence.Passed, r.Verdict, "%s: %v", name, troubles(r))
		}
	}
}

func makeMoreBundles(t *testing.T) {
	ctx := context.Background()
	var w *world
	wit := newWitness(func() time.Time { return w.clock() })
	anchor := evidence.Witness{Label: "w1", URL: "https://witness.example.org/w", Key: wit.vkey(), Client: &http.Client{Transport: wit}}
	s := newTSA(t, func() time.Time { return w.clock() })
	put := func(name string, b []byte) { frozen(t, moreDir+"/"+name, func() []byte { return b }) }

	w = newWorld(t, nil, anchor)
	for _, env := range []string{"first", "nda-17"} {
		w.envelope(env)
		w.anchor()
	}
	put("trust.txt", []byte("# keys of these vectors, for tests only\nlog "+w.log.VerifierKey()+"\nwitness "+wit.vkey()+"\n"+s.trustLines()))
	cosigned := w.export("nda-17", nil)
	put("cosigned.esev", cosigned)
	change := func(b []byte, f func(map[string][]byte)) []byte {
		files := map[string][]byte{}
		for name, x := range entries(b) {
			files[name] = bytes.Clone(x)
		}
		f(files)
		return w.log.Resign(files, nil)
	}
	i := bytes.Index(mustEntry(cosigned, "anchors/16-w1.json"), []byte("witness.example.org/w ")) + 40
	put("failed-anchor-2.esev", change(cosigned, func(f map[string][]byte) {
		x := f["anchors/16-w1.json"]
		x[i] = swapLetter(string(x[i]))[0]
	}))
	// Two signatures on the manifest, and one with the id of another key.
	text, line, _ := strings.Cut(string(mustEntry(cosigned, "manifest.note")), "\n\n")
	put("failed-manifest-signature-2.esev", repack(cosigned, func(f map[string][]byte) { f["manifest.note"] = []byte(text + "\n\n" + line + line) }))
	at := strings.LastIndex(line, " ") + 2
	put("failed-manifest-signature-3.esev", repack(cosigned, func(f map[string][]byte) {
		f["manifest.note"] = []byte(text + "\n\n" + line[:at] + swapLetter(line[at:at+1]) + line[at+1:])
	}))
	// Four lines in the body of a checkpoint: an extension, which nobody reads.
	put("failed-checkpoint-2.esev", change(cosigned, func(f map[string][]byte) {
		old := f["anchors/16-checkpoint.txt"]
		body, _, _ := strings.Cut(string(old), "\n\n")
		f["anchors/16-checkpoint.txt"] = w.log.SignNote(body + "\nextension\n")
		for name := range f {
			if f[name] = bytes.ReplaceAll(f[name], old, f["anchors/8-checkpoint.txt"]); strings.HasPrefix(name, "proofs/") || strings.HasPrefix(name, "consistency/") || name == "anchors/16-w1.json" {
				delete(f, name)
			}
		}
		f["anchors/16-checkpoint.txt"] = w.log.SignNote(body + "\nextension\n")
	}))

	// A receipt that somebody holds tells of another event.
	lying := newWorld(t, nil, evidence.TSA{Client: s})
	w.mu.Lock()
	lying.now = w.now
	w.mu.Unlock()
	w = lying
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "told", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}}))
	w.anchor()
	held := must(w.log.Receipt(w.ctx, "acme", "told"))
	other := newWorld(t, nil, evidence.TSA{Client: s})
	other.now = w.now
	w = other
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "told", Type: "envelope.created", Actor: evidence.Actor{ID: "somebody"}}))
	w.anchor()
	put("failed-receipt.esev", w.export("told", &evidence.ExportOptions{DigestsOnly: true}))
	put("failed-receipt.held", append(must(json.MarshalIndent([]evidence.Receipt{held}, "", "  ")), '\n'))

	// The leaves of a chain in the wrong order, in a tree that is right by itself.
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "turned", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}}))
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "turned", Type: "envelope.edited", Actor: evidence.Actor{ID: "hr"}}))
	plain := w.export("turned", &evidence.ExportOptions{DigestsOnly: true})
	put("failed-leaf.esev", w.turned(ctx, t, s, plain, []uint64{2, 1}))
	put("straight.esev", w.turned(ctx, t, s, plain, []uint64{1, 2}))

	// An event of a newer release.
	files := entries(plain)
	files["events.jsonl"] = bytes.Replace(files["events.jsonl"], []byte(`"type":"envelope.edited"`), []byte(`"type":"envelope.teleported"`), 1)
	put("open-event-type-unknown.esev", w.log.Resign(files, nil))
	// A clock that was an hour ahead of the authority's.
	must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: "ahead", Type: "envelope.created", Actor: evidence.Actor{ID: "hr"}}))
	s.Responder.Now = func() time.Time { return w.clock().Add(-time.Hour) }
	w.anchor()
	put("open-clock-outside-window.esev", w.export("ahead", &evidence.ExportOptions{DigestsOnly: true}))
	bare := entries(w.export("ahead", &evidence.ExportOptions{DigestsOnly: true}))
	for name := range bare {
		if strings.HasPrefix(name, "proofs/") || strings.HasPrefix(name, "anchors/") || strings.HasPrefix(name, "consistency/") {
			delete(bare, name)
		}
	}
	put("open-operator-unbound.esev", w.log.Resign(bare, func(c *evidence.Claim) { c.Size = 0 }))
}

// turned gives a bundle a log of its own, with its events as leaves in an order.
func (w *world) turned(ctx context.Context, t *testing.T, s *tsa, b []byte, order []uint64) []byte {
	files := entries(b)
	var m struct{ Env, Blind string }
	require.NoError(t, json.Unmarshal(files["manifest.json"], &m))
	lines := bytes.Split(bytes.TrimSuffix(files["events.jsonl"], []byte("\n")), []byte("\n"))
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(ix []int64) (out []tlog.Hash, _ error) {
		for _, x := range ix {
			out = append(out, stored[x])
		}
		return out, nil
	})
	for n, seq := range order {
		leaf := evidence.LeafBytes(must(hex.DecodeString(m.Blind)), m.Env, seq, lines[seq-1])
		stored = append(stored, must(tlog.StoredHashes(int64(n), leaf, reader))...)
	}
	size := int64(len(order))
	root := must(tlog.TreeHash(size, reader))
	body := evidence.CheckpointText(origin, uint64(size), root[:])
	cp := w.log.SignNote(body)
	name := strconv.FormatInt(size, 10)
	files["anchors/"+name+"-checkpoint.txt"] = cp
	sum := sha256.Sum256([]byte(body))
	files["anchors/"+name+"-tsa.tsr"] = must(s.Timestamp(ctx, "SHA-256", sum[:]))
	for i := range lines {
		at := int64(slices.Index(order, uint64(i)+1))
		files["proofs/"+strconv.Itoa(i+1)+".tlog-proof"] = evidence.FormatProof(uint64(at), must(tlog.ProveRecord(size, at, reader)), cp)
	}
	return w.log.Resign(files, func(c *evidence.Claim) { c.Size = uint64(size) })
}

// Cosignatures of witnesses (C2SP tlog-cosignature), good and bad.
func TestVectors_A10_Cosignatures(t *testing.T) {
	t.Parallel()
	type vector struct {
		Name       string `json:"name"`
		Checkpoint string `json:"checkpoint"` // signed note
		Witness    string `json:"witness"`    // verifier key
		Receipt    string `json:"receipt"`    // as it stands in a bundle
		Time       string `json:"time"`       // of a good one
		Good       bool   `json:"good"`
	}
	list := frozenJSON(t, "cosignatures.json", func() []vector {
		var w *world
		wit := newWitness(func() time.Time { return w.clock() })
		w = newWorld(t, nil, evidence.Witness{Label: "w1", URL: "https://witness.example.org/w", Key: wit.vkey(), Client: &http.Client{Transport: wit}})
		w.envelope("nda-17")
		w.anchor()
		b := w.export("nda-17", nil)
		cp, r := string(mustEntry(b, "anchors/8-checkpoint.txt")), string(mustEntry(b, "anchors/8-w1.json"))
		good := vector{Name: "good", Checkpoint: cp, Witness: wit.vkey(), Receipt: r, Time: w.clock().Truncate(time.Second).Format(time.RFC3339), Good: true}
		out := []vector{good}
		bad := func(name string, change func(*vector)) {
			v := good
			v.Name, v.Good, v.Time = name, false, ""
			change(&v)
			out = append(out, v)
		}
		i := strings.Index(r, "example.org/w ") + 30
		bad("signature changed", func(v *vector) { v.Receipt = r[:i] + swapLetter(r[i:i+1]) + r[i+1:] })
		bad("time changed", func(v *vector) {
			k := strings.Index(r, "example.org/w ") + 14 + 12 // within the eight bytes behind the key id
			v.Receipt = r[:k] + swapLetter(r[k:k+1]) + r[k+1:]
		})
		bad("of another checkpoint", func(v *vector) {
			v.Checkpoint = string(w.log.SignNote(evidence.CheckpointText(origin, 7, make([]byte, 32))))
		})
		bad("by a witness that is not trusted", func(v *vector) {
			v.Witness = evidence.WitnessKey("witness.example.org/w", newTestKey(4).Public().(ed25519.PublicKey))
		})
		bad("under another name", func(v *vector) { v.Receipt = strings.Replace(r, "witness.example.org/w", "witness.example.org/v", 1) })
		bad("with stray bits", func(v *vector) { v.Receipt = strings.Replace(r, `=="`, `="`, 1) + " " })
		bad("with another member", func(v *vector) { v.Receipt = strings.Replace(r, `,"v":1}`, `,"v":1,"x":1}`, 1) })
		return out
	})
	require.Len(t, list, 8)
	for _, v := range list {
		parts := strings.Split(v.Checkpoint, "\n")
		cp := evidence.Checkpoint{Origin: parts[0], Size: must(strconv.ParseUint(parts[1], 10, 64)), Root: must(base64.StdEncoding.DecodeString(parts[2])), Note: []byte(v.Checkpoint)}
		trust, err := evidence.ParseTrust(strings.NewReader("witness " + v.Witness + "\n"))
		require.NoError(t, err, v.Name)
		a, err := evidence.Witness{Label: "w1", Key: v.Witness}.Verify(cp, evidence.AnchorReceipt{Anchor: "w1", Kind: "json", Final: true, Data: []byte(v.Receipt)}, &evidence.VerifyOptions{Keys: trust})
		if v.Good {
			require.NoError(t, err, v.Name)
			assert.Equal(t, v.Time, a.Time.Format(time.RFC3339))
		} else {
			assert.Error(t, err, v.Name)
		}
	}
}
