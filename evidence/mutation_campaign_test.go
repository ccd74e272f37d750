package evidence_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// The campaign of A12. How many mutations, under which seed, and whether only one of
// them, is said by flags or by the environment:
//
//	COUNTERSIGN_MUTATIONS      a third of them of bundles, the rest of stores
//	COUNTERSIGN_MUTATION_SEED  other seeds give other mutations; mutation n under a
//	                           seed is always the same
//	COUNTERSIGN_MUTATION_ONLY  the number of one mutation, to look at a miss again
//	COUNTERSIGN_MUTATION_KEEP  a directory for bundles that were missed
//
// A mutation counts as found if the answer is FAILED and names the place: the
// first event that cannot be right by FirstBad, else the entry, document or record
// where the first byte differs by the path of a check that FAILED. In three cases
// less is asked, and each is counted apart:
//
//   - unreadable: the answer is an error instead, as nothing is left to judge: a
//     file without one whole entry, a record of the store that does not decode;
//   - beyond naming: what is left of a file that was cut off nowhere has the name
//     of the entry that comes next;
//   - without effect: when a chain's head is looked at next by the sequencer, of
//     which no answer is made: the bundle is the same, byte for byte.
var (
	mutations    = flag.Int("mutations", fromEnv("COUNTERSIGN_MUTATIONS", 2000), "random mutations, a third of them of bundles and the rest of stores")
	mutationSeed = flag.Uint64("mutation-seed", uint64(fromEnv("COUNTERSIGN_MUTATION_SEED", 21)), "another seed gives other mutations")
	mutationOnly = flag.Int("mutation-only", fromEnv("COUNTERSIGN_MUTATION_ONLY", -1), "only the mutation of this number")
	mutationKeep = os.Getenv("COUNTERSIGN_MUTATION_KEEP")
)

func fromEnv(name string, or int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return or
}

// A trial is one mutation and what became of it.
type trial struct {
	n    int
	kind string
	what string // the draws that made it, for a miss

	refused bool // unreadable
	beyond  bool // beyond naming
	idle    bool // without effect
	why     string
	report  *evidence.Report
	err     error
	bytes   []byte // of a bundle
}

type tally struct {
	mu     sync.Mutex
	rows   map[string]*[6]int // tried, found, of those named, unreadable, beyond naming, without effect
	missed []string
}

func (c *tally) add(x trial) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[string]*[6]int{}
	}
	row := c.rows[x.kind]
	if row == nil {
		row = new([6]int)
		c.rows[x.kind] = row
	}
	row[0]++
	switch {
	case x.why != "":
		m := fmt.Sprintf("MISSED seed %d mutation %d %s (%s): %s", *mutationSeed, x.n, x.kind, x.what, x.why)
		if x.report != nil {
			m += fmt.Sprintf("; verdict %s, first bad %d, %v", x.report.Verdict, x.report.FirstBad, troubles(x.report))
		}
		if x.err != nil {
			m += fmt.Sprintf("; error %v", x.err)
		}
		c.missed = append(c.missed, m)
		if mutationKeep != "" && x.bytes != nil {
			_ = os.WriteFile(filepath.Join(mutationKeep, fmt.Sprintf("missed-%d-%d.esev", *mutationSeed, x.n)), x.bytes, 0o644)
		}
		return
	case x.idle:
		row[5]++
		return
	}
	row[1]++
	switch {
	case x.refused:
		row[3]++
	case x.beyond:
		row[4]++
	default:
		row[2]++
	}
}

func (c *tally) log(t *testing.T, what string) {
	var sum [6]int
	line := func(kind string, r [6]int) {
		t.Logf("MUTATIONS %s %-39s tried %7d found %7d named %7d unreadable %7d beyond-naming %5d without-effect %5d", what, kind, r[0], r[1], r[2], r[3], r[4], r[5])
	}
	for _, k := range slices.Sorted(maps.Keys(c.rows)) {
		for i, n := range c.rows[k] {
			sum[i] += n
		}
		line(k, *c.rows[k])
	}
	line("all", sum)
	assert.Equal(t, sum[0], sum[1]+sum[5], "every one is found")
	for k, r := range c.rows {
		assert.True(t, r[5] == 0 || k == "head's bit flipped", "%s: every stored byte is of weight", k)
	}
	for _, m := range c.missed[:min(20, len(c.missed))] {
		t.Error(m)
	}
}

// each makes so many mutations on every processor, each from its own number.
func each(n int, f func(rnd *rand.Rand, n int)) {
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for k := i; k < n; k += workers {
				if *mutationOnly < 0 || *mutationOnly == k {
					f(rand.New(rand.NewPCG(*mutationSeed, uint64(k))), k)
				}
			}
		})
	}
	wg.Wait()
}

// A base is a bundle that is mutated, with another of the same log to take
// things from.
type base struct {
	name           string
	b              []byte
	o              *evidence.VerifyOptions
	list           []region
	files, foreign map[string][]byte
	paths          []string
}

func newBase(t *testing.T, name string, b, other []byte, o *evidence.VerifyOptions) base {
	require.Equal(t, evidence.Passed, verify(t, b, o).Verdict, name)
	x := base{name: name, b: b, o: o, list: regions(b), files: entries(b), foreign: entries(other)}
	x.paths = slices.Sorted(maps.Keys(x.files))
	return x
}

// bases are frozen, so that a mutation under a seed stays what it was.
func bases(t *testing.T) []base {
	dir := filepath.Join("mutations", "plain")
	if *update {
		if _, err := os.Stat(filepath.Join(vectorDir, dir, "trust.txt")); err != nil {
			w, s := anchoredPair(t)
			frozen(t, dir+"/nda-17.esev", func() []byte { return w.export("nda-17", nil) })
			frozen(t, dir+"/first.esev", func() []byte { return w.export("first", nil) })
			frozen(t, dir+"/trust.txt", func() []byte {
				return []byte("# keys of these vectors, for tests only\nlog " + w.log.VerifierKey() + "\n" + s.trustLines())
			})
		}
	}
	var out []base
	dirs, err := filepath.Glob(filepath.Join(vectorDir, "mutations", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, dir := range dirs {
		read := func(name string) []byte { return must(os.ReadFile(filepath.Join(dir, name))) }
		trust, err := evidence.ParseTrust(bytes.NewReader(read("trust.txt")))
		require.NoError(t, err)
		out = append(out, newBase(t, filepath.Base(dir), read("nda-17.esev"), read("first.esev"), &evidence.VerifyOptions{Keys: trust}))
	}
	return out
}

// TestMutatedBundles throws a third of the mutations at anchored bundles: at their
// bytes, and at their entries put together again without the log's key.
func TestMutatedBundles(t *testing.T) {
	t.Parallel()
	all := bases(t)
	var count tally
	each(*mutations/3, func(rnd *rand.Rand, n int) {
		a := &all[rnd.IntN(len(all))]
		x := trial{n: n}
		var b []byte
		var want found
		if rnd.IntN(2) == 0 {
			x.kind, b = mutateBytes(rnd, a.b)
			want = a.expect(b)
		} else {
			x.kind, b, want = a.mutateEntries(rnd)
		}
		if bytes.Equal(a.b, b) {
			return
		}
		x.what, x.bytes, x.beyond = fmt.Sprintf("%s, first differs at byte %d of %d, in %q", a.name, firstDiff(a.b, b), len(a.b), place(a.list, firstDiff(a.b, b)).name), b, want.beyond
		x.report, x.err = evidence.Verify(bytes.NewReader(b), int64(len(b)), a.o)
		switch {
		case x.err != nil && errors.Is(x.err, evidence.ErrUnreadable) && want.ruin:
			x.refused = true
		case x.err != nil:
			x.why = "unreadable"
		default:
			x.why = want.missed(x.report)
		}
		count.add(x)
	})
	count.log(t, "bundle")
}

// found is what a report must say.
type found struct {
	path   string // an entry that must be named; empty: any
	seq    uint64 // first bad event; 0: none or not judged
	none   bool   // no event may be named
	at     uint64 // an event that a check must be about, although it is right itself
	ruin   bool   // nothing whole may be left
	beyond bool   // what is left does not say where
}

func (f found) missed(r *evidence.Report) string {
	switch {
	case r.Verdict != evidence.Failed:
		return "not found"
	case f.path != "" && !names(r, f.path):
		return f.path + " is not named"
	case f.seq > 0 && r.FirstBad != f.seq:
		return fmt.Sprintf("event %d is named, not %d", r.FirstBad, f.seq)
	case f.none && r.FirstBad != 0:
		return fmt.Sprintf("event %d is named", r.FirstBad)
	case f.at > 0 && !slices.ContainsFunc(r.Checks, func(c evidence.Check) bool { return c.Verdict == evidence.Failed && c.Seq == f.at }):
		return fmt.Sprintf("no check is about event %d", f.at)
	}
	return ""
}

// expect says what must be named of a change in bytes: the entry of the first that
// differs, and the event if no other entry is touched.
func (a *base) expect(x []byte) found {
	b := a.b
	at := firstDiff(b, x)
	end := len(b) // behind the last byte that is not the same, counted from the end
	for n := len(x); end > at && n > at && b[end-1] == x[n-1]; n-- {
		end--
	}
	g, last := place(a.list, at), place(a.list, max(at, end-1))
	f := found{path: g.name}
	if len(x) < len(b) && at == len(x) { // cut off
		manifest := a.list[slices.IndexFunc(a.list, func(g region) bool { return g.name == "manifest.json" && g.isData })]
		// In the directory every entry has been there; else its own header, or the
		// manifest, must say what comes.
		f.beyond = !g.isData && manifest.to > at && a.isEntry(g)
		f.ruin = at <= a.list[1].to // not even the first is whole
		if f.beyond || !g.isData && !a.isEntry(g) && g == a.list[2*len(a.paths)] && at == g.from {
			f.path = "" // of the directory nothing is left, and every entry is whole
		}
		return f
	}
	if g == last && g.isData {
		if g.name == "events.jsonl" {
			f.seq = lineAt(b[g.from:g.to], at-g.from)
		} else {
			f.none = true
		}
	}
	return f
}

// isEntry tells local headers and data from the directory.
func (a *base) isEntry(g region) bool {
	return slices.ContainsFunc(a.list, func(x region) bool { return x.isData && x.name == g.name && x.from >= g.from })
}

// place is where a byte lies in a well-formed bundle.
func place(list []region, at int) region {
	i, ok := slices.BinarySearchFunc(list, at, func(g region, at int) int { return cmp.Compare(g.from, at) })
	if !ok {
		i--
	}
	if i >= 0 && at < list[i].to {
		return list[i]
	}
	return region{}
}

func firstDiff(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func entries(b []byte) map[string][]byte {
	out := map[string][]byte{}
	for _, g := range regions(b) {
		if g.isData {
			out[g.name] = b[g.from:g.to]
		}
	}
	return out
}

// TestMutatedStores throws the rest of the mutations at what a store keeps of
// a chain, as somebody would who edits the database behind the log's back.
func TestMutatedStores(t *testing.T) {
	t.Parallel()
	var count tally
	behind := &liar{}
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, func(s storage.Store) storage.Store { behind.Store = s; return behind }, evidence.TSA{Client: s})
	w.envelope("first")
	w.anchor()
	old := must(w.mem.Get(w.ctx, []storage.Key{{Tenant: "_", Kind: "evidence.tree", ID: "head"}}))[0].Data
	w.envelope("nda-17")
	w.anchor()
	theirs := must(w.mem.Entries(w.ctx, storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "first"}, 0, 100))
	whole := w.export("nda-17", nil)
	opened := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	each(*mutations-*mutations/3, func(rnd *rand.Rand, n int) {
		l := &liar{Store: w.mem}
		vault := must(privacy.New(privacy.Config{Root: testRoot, Store: l, Now: w.clock}))
		log := must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: l, Vault: vault, Now: w.clock, Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}))
		x := trial{n: n}
		var want found
		x.kind, x.what, want = mutateStore(rnd, l, theirs, old)
		x.report, x.err = log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
		switch {
		case x.err != nil && errors.Is(x.err, storage.ErrCorrupt) && want.ruin:
			x.refused = true
		case x.err != nil:
			x.why = "an error"
		default:
			x.why = want.missed(x.report)
		}
		if x.why != "" && want.ruin { // what an audit passes must at least not change what goes out
			var out bytes.Buffer
			_, err := log.Export(w.ctx, "acme", "nda-17", &out, &evidence.ExportOptions{Disclose: all, Documents: []evidence.Document{{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract))}}})
			switch {
			case err != nil:
				x.why, x.refused = "", true
			case bytes.Equal(whole, out.Bytes()):
				x.why, x.idle = "", true
			case verify(t, out.Bytes(), opened).Verdict != evidence.Passed:
				x.why = ""
			default:
				x.why = strings.Join(append(diffEntries(whole, out.Bytes()), "another bundle passes"), ", ")
			}
		}
		count.add(x)
	})
	count.log(t, "store")
}

// diffEntries lists entries that differ.
func diffEntries(a, b []byte) (out []string) {
	x, y := entries(a), entries(b)
	for name := range y {
		if !bytes.Equal(x[name], y[name]) {
			out = append(out, fmt.Sprintf("%s at %d", name, firstDiff(x[name], y[name])))
		}
	}
	return out
}
