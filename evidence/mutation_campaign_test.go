package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
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

// A tally counts mutations by kind, and what became of them.
type tally struct {
	mu      sync.Mutex
	tried   map[string]int
	found   map[string]int
	refused map[string]int // of those: no bundle at all, or a record that cannot be read
	named   map[string]int // of those: with the very event, document or record
}

func newTally() *tally {
	return &tally{tried: map[string]int{}, found: map[string]int{}, refused: map[string]int{}, named: map[string]int{}}
}

func (c *tally) add(kind string, ok, refused, named bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried[kind]++
	if !ok {
		return
	}
	c.found[kind]++
	if refused {
		c.refused[kind]++
	}
	if named {
		c.named[kind]++
	}
}

func (c *tally) log(t *testing.T, what string) {
	tried, ok := 0, 0
	for _, k := range slices.Sorted(maps.Keys(c.tried)) {
		tried, ok = tried+c.tried[k], ok+c.found[k]
		t.Logf("MUTATIONS %s %-39s tried %7d found %7d named %7d unreadable %7d", what, k, c.tried[k], c.found[k], c.named[k], c.refused[k])
	}
	t.Logf("MUTATIONS %s %-39s tried %7d found %7d", what, "all", tried, ok)
	assert.Equal(t, tried, ok, "every one is found")
}

// each calls f so many times in all, on every processor, each with its own source
// of chance.
func each(n int, f func(rnd *rand.Rand)) {
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(*mutationSeed, uint64(i)))
			for range (n + i) / workers {
				f(rnd)
			}
		})
	}
	wg.Wait()
}

// place is where the first byte that differs lies in a well-formed bundle.
func place(list []region, at int) region {
	for _, g := range list {
		if at >= g.from && at < g.to {
			return g
		}
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

// TestMutatedBundles throws a third of -mutations at an anchored bundle: at its
// bytes, and at its entries put together again without the log's key. Every one
// is found, and the first event or entry that is wrong is named.
func TestMutatedBundles(t *testing.T) {
	t.Parallel()
	w, s := anchoredPair(t)
	b, other := w.export("nda-17", nil), w.export("first", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	require.Equal(t, evidence.Passed, verify(t, b, o).Verdict)
	list := regions(b)
	files, foreign := entries(b), entries(other)
	paths := slices.Sorted(maps.Keys(files))
	count := newTally()
	var failed sync.Once
	each(*mutations/3, func(rnd *rand.Rand) {
		var kind string
		var x []byte
		var want found
		if rnd.IntN(2) == 0 {
			kind, x = mutateBytes(rnd, b)
			want = expect(kind, list, b, x)
		} else {
			kind, x, want = mutateEntries(rnd, files, foreign, paths)
		}
		if bytes.Equal(x, b) {
			return
		}
		r, err := evidence.Verify(bytes.NewReader(x), int64(len(x)), o)
		if err != nil {
			ok := errors.Is(err, evidence.ErrUnreadable) && !strings.HasPrefix(kind, "entries")
			if !ok {
				failed.Do(func() { t.Errorf("%s: %v", kind, err) })
			}
			count.add(kind, ok, true, false)
			return
		}
		why := want.missed(r)
		if why != "" {
			failed.Do(func() { t.Errorf("%s, first at %d: %s: %v", kind, firstDiff(b, x), why, troubles(r)) })
		}
		count.add(kind, why == "", false, want.path != "" || want.seq > 0 || names(r, place(list, firstDiff(b, x)).name))
	})
	count.log(t, "bundle")
}

// found is what a report must say.
type found struct {
	path string // an entry that must be named; empty: any
	seq  uint64 // first bad event; 0: none or not judged
	none bool   // no event may be named
	at   uint64 // an event that a check must be about, although it is right itself
}

func (f found) missed(r *evidence.Report) string {
	switch {
	case f.path == "manifest.note" && r.Verdict == evidence.Indeterminate && r.Has(evidence.CodeLogKey, evidence.Indeterminate) && r.FirstBad == 0:
		return "" // a note by a key that the verifier does not know, which may be a newer one
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

func entries(b []byte) map[string][]byte {
	out := map[string][]byte{}
	for _, g := range regions(b) {
		if g.isData {
			out[g.name] = b[g.from:g.to]
		}
	}
	return out
}

// mutateBytes changes the file as it lies there.
func mutateBytes(rnd *rand.Rand, b []byte) (string, []byte) {
	x := bytes.Clone(b)
	i, j := rnd.IntN(len(x)), rnd.IntN(len(x))
	n := 1 + rnd.IntN(min(64, len(x)-i))
	switch kind := []string{"bit flipped", "byte replaced", "range zeroed", "bytes swapped", "range turned round", "range deleted", "range inserted", "range doubled", "range moved",
		"tail cut", "tail added"}[rnd.IntN(11)]; kind {
	case "bit flipped":
		x[i] ^= 1 << rnd.IntN(8)
		return kind, x
	case "byte replaced":
		x[i] ^= byte(1 + rnd.IntN(255))
		return kind, x
	case "range zeroed":
		clear(x[i : i+n])
		return kind, x
	case "bytes swapped":
		x[i], x[j] = x[j], x[i]
		return kind, x
	case "range turned round":
		slices.Reverse(x[i : i+n])
		return kind, x
	case "range deleted":
		return kind, append(x[:i], x[i+n:]...)
	case "range inserted":
		return kind, slices.Insert(x, i, bytes.Repeat([]byte{byte(rnd.IntN(256))}, n)...)
	case "range doubled":
		return kind, slices.Insert(x, i, bytes.Clone(x[i:i+n])...)
	case "range moved":
		part := bytes.Clone(x[i : i+n])
		x = append(x[:i], x[i+n:]...)
		return kind, slices.Insert(x, rnd.IntN(len(x)), part...)
	case "tail cut":
		return kind, x[:i]
	default:
		return kind, append(x, bytes.Repeat([]byte{byte(rnd.IntN(256))}, n)...)
	}
}

// expect says what must be named of a change in bytes: the entry of the first
// that differs while all stay in their places, and the event if no other entry
// is touched.
func expect(kind string, list []region, b, x []byte) found {
	if len(x) != len(b) || kind == "range moved" {
		return found{}
	}
	at := firstDiff(b, x)
	last := len(b) - 1
	for last > at && b[last] == x[last] {
		last--
	}
	g, end := place(list, at), place(list, last)
	f := found{path: g.name}
	if g == end && g.isData {
		if g.name == "events.jsonl" {
			f.seq = lineAt(b[g.from:g.to], at-g.from)
		} else {
			f.none = true
		}
	}
	return f
}

// mutateEntries puts a bundle together again from changed entries: everything
// that needs no key is right.
func mutateEntries(rnd *rand.Rand, files, foreign map[string][]byte, names []string) (string, []byte, found) {
	f := maps.Clone(files)
	lines := bytes.SplitAfter(files["events.jsonl"], []byte("\n"))
	lines = lines[:len(lines)-1]
	theirs := bytes.SplitAfter(foreign["events.jsonl"], []byte("\n"))
	i := rnd.IntN(len(lines))
	n := uint64(i) + 1
	set := func(l ...[][]byte) { f["events.jsonl"] = bytes.Join(slices.Concat(l...), nil) }
	event := found{path: "events.jsonl", seq: n}
	pick := func(prefix string) string {
		var of []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				of = append(of, name)
			}
		}
		return of[rnd.IntN(len(of))]
	}
	switch kind := []string{"event removed", "event doubled", "events swapped", "event of another envelope", "event back-dated", "event moved", "last events cut", "chain written again",
		"entry removed", "entry of another bundle", "entry added", "entry changed", "document changed", "proofs swapped", "token of another checkpoint", "checkpoint of another size",
		"disclosure changed", "manifest written again"}[rnd.IntN(18)]; kind {
	case "event removed":
		set(lines[:i], lines[i+1:])
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "event doubled":
		set(lines[:i+1], lines[i:])
		event.seq = n + 1
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "events swapped":
		j := rnd.IntN(len(lines))
		l := slices.Clone(lines)
		l[i], l[j] = l[j], l[i]
		set(l)
		event.seq = uint64(min(i, j)) + 1
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "event of another envelope":
		l := slices.Clone(lines)
		l[i] = theirs[i]
		set(l)
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "event back-dated":
		l := slices.Clone(lines)
		l[i] = bytes.Replace(l[i], []byte(`"at":"2026`), []byte(`"at":"20`+string(byte('0'+rnd.IntN(2)))+`5`), 1)
		set(l)
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "event moved":
		l := slices.Delete(slices.Clone(lines), i, i+1)
		j := rnd.IntN(len(l) + 1)
		set(slices.Insert(l, j, lines[i]))
		event.seq = uint64(min(i, j)) + 1
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "last events cut":
		set(lines[:i])
		return "entries: " + kind, evidence.WriteContainer(f), event
	case "chain written again": // with fresh hashes up to the manifest, which cannot be signed
		i = 1 + rnd.IntN(len(lines)-1)
		l := slices.Clone(lines)
		l[i] = bytes.Replace(l[i], []byte(`"at":"2026-03-01T01`), []byte(`"at":"2026-03-01T02`), 1)
		for j := i + 1; j < len(l); j++ {
			old := must(evidence.ParseEvent(bytes.TrimSpace(l[j])))
			l[j] = bytes.Replace(l[j], fmt.Appendf(nil, `"prev":"%x"`, old.Prev), fmt.Appendf(nil, `"prev":"%x"`, sumOf(bytes.TrimSpace(l[j-1]))), 1)
			l[j] = bytes.Replace(l[j], []byte(`"at":"2026-03-01T01`), []byte(`"at":"2026-03-01T02`), 1)
		}
		set(l)
		f["manifest.json"] = evidence.ListAgain(f)
		return "entries: " + kind, evidence.WriteContainer(f), found{path: "manifest.json", seq: uint64(i) + 1}
	case "entry removed":
		name := names[rnd.IntN(len(names))]
		delete(f, name)
		want := found{path: name}
		if name == "events.jsonl" {
			want.seq = 1
		}
		return "entries: " + kind, evidence.WriteContainer(f), want
	case "entry of another bundle":
		name := pick("")
		if foreign[name] == nil || bytes.Equal(foreign[name], files[name]) {
			name = "events.jsonl"
		}
		f[name] = foreign[name]
		want := found{path: name}
		switch name {
		case "events.jsonl":
			want.seq = 1
		case "manifest.json", "manifest.note": // which belong together: who is right is not for the verifier to say
			want.path = ""
		}
		return "entries: " + kind, evidence.WriteContainer(f), want
	case "entry added":
		name := []string{"docs/extra-0.pdf", "proofs/99.tlog-proof", "anchors/99-tsa.tsr", "certs/signer.der", "README", "anchors/99-checkpoint.txt", "disclosures.json"}[rnd.IntN(7)]
		f[name] = []byte{byte(rnd.IntN(256))}
		return "entries: " + kind, evidence.WriteContainer(f), found{path: name, none: true}
	case "entry changed":
		name := pick("")
		x := bytes.Clone(f[name])
		at := rnd.IntN(len(x))
		x[at] ^= byte(1 + rnd.IntN(255))
		f[name] = x
		want := found{path: name, none: name != "events.jsonl"}
		if name == "events.jsonl" {
			want.seq = lineAt(files[name], at)
		}
		return "entries: " + kind, evidence.WriteContainer(f), want
	case "document changed":
		name := pick("docs/")
		x := bytes.Clone(f[name])
		at := rnd.IntN(len(x))
		f[name] = append(x[:at], x[at+1:]...)
		return "entries: " + kind, evidence.WriteContainer(f), found{path: name, none: true}
	case "proofs swapped":
		a, c := pick("proofs/"), pick("proofs/")
		f[a], f[c] = f[c], f[a]
		if a == c {
			f[a] = foreign[a]
		}
		return "entries: " + kind, evidence.WriteContainer(f), found{path: a, none: true}
	case "token of another checkpoint":
		f["anchors/16-tsa.tsr"] = f["anchors/8-tsa.tsr"]
		if rnd.IntN(2) == 0 {
			f["anchors/16-tsa.tsr"], f["anchors/8-tsa.tsr"] = files["anchors/8-tsa.tsr"], files["anchors/16-tsa.tsr"]
		}
		return "entries: " + kind, evidence.WriteContainer(f), found{path: "anchors/16-tsa.tsr", none: true}
	case "checkpoint of another size":
		f["anchors/16-checkpoint.txt"] = f["anchors/8-checkpoint.txt"]
		return "entries: " + kind, evidence.WriteContainer(f), found{path: "anchors/16-checkpoint.txt", none: true}
	case "disclosure changed":
		l := bytes.SplitAfter(files["disclosures.jsonl"], []byte("\n"))
		j := rnd.IntN(len(l) - 1)
		l = slices.Clone(l)
		l[j] = bytes.Replace(l[j], []byte(`"value":"`), fmt.Appendf(nil, `"value":"%d`, rnd.IntN(10)), 1)
		f["disclosures.jsonl"] = bytes.Join(l, nil)
		return "entries: " + kind, evidence.WriteContainer(f), found{path: "disclosures.jsonl", none: true}
	default: // the manifest is made to fit a changed document
		name := pick("docs/")
		x := bytes.Clone(f[name])
		x[rnd.IntN(len(x))] ^= 1
		f[name] = x
		f["manifest.json"] = evidence.ListAgain(f)
		return "entries: " + kind, evidence.WriteContainer(f), found{path: name, none: true}
	}
}

// TestMutatedStores throws the rest of -mutations at what a store keeps of
// a chain, as somebody would who edits the database behind the log's back.
func TestMutatedStores(t *testing.T) {
	t.Parallel()
	count := newTally()
	var failed sync.Once
	base := &liar{}
	var w *world
	s := newTSA(t, func() time.Time { return w.clock() })
	w = newWorld(t, func(s storage.Store) storage.Store { base.Store = s; return base }, evidence.TSA{Client: s})
	for _, env := range []string{"first", "nda-17"} {
		w.envelope(env)
		w.anchor()
	}
	whole := w.export("nda-17", nil)
	theirs := must(w.mem.Entries(w.ctx, storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "first"}, 0, 100))
	vault := func(s storage.Store) *privacy.Vault {
		v := must(privacy.New(privacy.Config{Root: testRoot, Store: s, Now: w.clock}))
		return v
	}
	opened := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	each(*mutations-*mutations/3, func(rnd *rand.Rand) {
		l := &liar{Store: w.mem}
		log := must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: l, Vault: vault(l), Now: w.clock, Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}))
		kind, want := mutateStore(rnd, l, theirs)
		if kind == "anchor changed" {
			var out bytes.Buffer
			_, err := log.Export(w.ctx, "acme", "nda-17", &out, &evidence.ExportOptions{Disclose: all,
				Documents: []evidence.Document{{ID: "nda", Rev: 2, Body: bytes.NewReader(contract), Size: int64(len(contract))}}})
			ok := err != nil || verify(t, out.Bytes(), opened).Verdict != evidence.Passed || bytes.Equal(whole, out.Bytes())
			if !ok {
				failed.Do(func() { t.Errorf("%s: another bundle passes: %v", kind, diffEntries(whole, out.Bytes())) })
			}
			count.add(kind, ok, err != nil, true)
			return
		}
		r, err := log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", Env: "nda-17"})
		if err != nil {
			ok := errors.Is(err, storage.ErrCorrupt) && want.seq == 0
			if !ok {
				failed.Do(func() { t.Errorf("%s: %v", kind, err) })
			}
			count.add(kind, ok, true, false)
			return
		}
		why := want.missed(r)
		if why != "" {
			failed.Do(func() { t.Errorf("%s: %s: %v", kind, why, troubles(r)) })
		}
		count.add(kind, why == "", false, true)
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

func mutateStore(rnd *rand.Rand, l *liar, theirs []storage.Entry) (string, found) {
	mine := func(k storage.Key) bool { return k.Kind == "evidence.chain" && k.ID == "nda-17" }
	i, j := rnd.IntN(envelopeEvents), rnd.IntN(envelopeEvents)
	if i == j {
		j = (j + 1) % envelopeEvents
	}
	at, bit := rnd.IntN(4000), 1<<rnd.IntN(8)
	event := found{seq: uint64(i) + 1}
	edit := func(f func([]storage.Entry) []storage.Entry) {
		l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
			if mine(k) {
				return f(list)
			}
			return list
		}
	}
	record := func(kind string, of func(storage.Key) bool, f func([]byte) []byte) {
		l.record = func(r storage.Record) storage.Record {
			if r.Key.Kind == kind && (of == nil || of(r.Key)) {
				r.Data = f(named(kind, bytes.Clone(r.Data)))
			}
			return r
		}
	}
	flip := func(b []byte) []byte { b[at%len(b)] ^= byte(bit); return b }
	switch kind := []string{"event's bit flipped", "event's byte cut", "event deleted", "event doubled", "event of another envelope", "events swapped", "event back-dated", "last events cut",
		"event emptied", "head rolled back", "head ahead", "head's instant moved", "head's hash changed", "seal forgotten", "index of leaves moved", "leaf changed", "tile changed",
		"value lost", "chain written again", "anchor changed"}[rnd.IntN(20)]; kind {
	case "event's bit flipped":
		edit(func(x []storage.Entry) []storage.Entry { x[i].Data = flip(bytes.Clone(x[i].Data)); return x })
		return kind, event
	case "event's byte cut":
		edit(func(x []storage.Entry) []storage.Entry {
			d := x[i].Data
			k := at % len(d)
			x[i].Data = slices.Concat(d[:k], d[k+1:])
			return x
		})
		return kind, event
	case "event deleted":
		edit(func(x []storage.Entry) []storage.Entry { return append(x[:i:i], x[i+1:]...) })
		return kind, event
	case "event doubled":
		i = min(i, envelopeEvents-2) // the head knows of no ninth entry
		edit(func(x []storage.Entry) []storage.Entry { return slices.Insert(x, i, x[i]) })
		return kind, found{seq: uint64(i) + 2}
	case "event of another envelope":
		edit(func(x []storage.Entry) []storage.Entry { x[i] = theirs[i]; return x })
		return kind, event
	case "events swapped":
		edit(func(x []storage.Entry) []storage.Entry { x[i], x[j] = x[j], x[i]; return x })
		return kind, found{seq: uint64(min(i, j)) + 1}
	case "event back-dated":
		edit(func(x []storage.Entry) []storage.Entry {
			x[i].Data = bytes.Replace(x[i].Data, []byte(`"at":"2026`), []byte(`"at":"2025`), 1)
			return x
		})
		return kind, event
	case "last events cut":
		edit(func(x []storage.Entry) []storage.Entry { return x[:i] })
		return kind, event
	case "event emptied":
		edit(func(x []storage.Entry) []storage.Entry { x[i].Data = nil; return x })
		return kind, event
	case "head rolled back":
		n := 1 + rnd.IntN(envelopeEvents-1)
		record("evidence.chain", mine, func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":8`), fmt.Appendf(nil, `"seq":%d`, n), 1) })
		return kind, found{seq: uint64(n)}
	case "head ahead":
		n := envelopeEvents + 1 + rnd.IntN(1000)
		record("evidence.chain", mine, func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":8`), fmt.Appendf(nil, `"seq":%d`, n), 1) })
		return kind, found{seq: envelopeEvents + 1}
	case "head's instant moved":
		record("evidence.chain", mine, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"at":"2026`), fmt.Appendf(nil, `"at":"%04d`, 1000+rnd.IntN(1000)), 1)
		})
		return kind, found{seq: envelopeEvents}
	case "head's hash changed":
		record("evidence.chain", mine, func(b []byte) []byte {
			k := bytes.Index(b, []byte(`"hash":"`)) + 8 + at%64
			b[k] = "0123456789abcdef"[(bytes.IndexByte([]byte("0123456789abcdef"), b[k])+1+bit%15)%16]
			return b
		})
		return kind, found{seq: envelopeEvents}
	case "seal forgotten":
		to := rnd.IntN(7)
		record("evidence.chain", mine, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"sealed":7`), fmt.Appendf(nil, `"sealed":%d`, to), 1)
		})
		return kind, found{seq: 7}
	case "index of leaves moved":
		to := rnd.IntN(8)
		record("evidence.mark", func(k storage.Key) bool { return k.ID == "nda-17" }, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"leaf":8`), fmt.Appendf(nil, `"leaf":%d`, to), 1)
		})
		return kind, found{path: "mark", none: true}
	case "leaf changed":
		record("evidence.leaves", nil, func(b []byte) []byte { b[len(b)/2+at%(len(b)/2)] ^= byte(bit); return b })
		return kind, found{path: "leaves", none: true}
	case "tile changed":
		record("evidence.tile", nil, flip)
		return kind, found{path: "tiles", none: true}
	case "value lost":
		seed := rnd.IntN(2) == 0
		l.record = func(r storage.Record) storage.Record {
			if seed && r.Key.Kind == "privacy.seed" || !seed && r.Key.Kind == "privacy.alias" {
				r.Version, r.Data = 0, nil
			}
			return r
		}
		return kind, found{at: 3, none: true}
	case "chain written again": // with fresh hashes, the head's included
		i = rnd.IntN(envelopeEvents)
		edit(func(x []storage.Entry) []storage.Entry { rewrite(x, i); return x })
		last := rewrite(must(l.Store.Entries(context.Background(), storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "nda-17"}, 0, 100)), i)
		record("evidence.chain", mine, func(b []byte) []byte {
			k := bytes.Index(b, []byte(`"hash":"`)) + 8
			copy(b[k:], fmt.Sprintf("%x", sumOf(last)))
			return b
		})
		return kind, found{seq: uint64(i) + 1}
	default:
		record("evidence.anchor", nil, flip)
		return kind, found{}
	}
}

// rewrite changes an event and every hash behind it, and returns the last.
func rewrite(x []storage.Entry, i int) []byte {
	var e struct{ Actor struct{ ID string } }
	if err := json.Unmarshal(x[i].Data, &e); err != nil {
		panic(err)
	}
	x[i].Data = bytes.Replace(x[i].Data, fmt.Appendf(nil, `"id":"%s"`, e.Actor.ID), []byte(`"id":"mallory"`), 1)
	for j := i + 1; j < len(x); j++ {
		old := must(evidence.ParseEvent(x[j].Data))
		x[j].Data = bytes.Replace(x[j].Data, fmt.Appendf(nil, `"prev":"%x"`, old.Prev), fmt.Appendf(nil, `"prev":"%x"`, sumOf(x[j-1].Data)), 1)
		if old.Type == evidence.TypeSealed {
			x[j].Data = bytes.Replace(x[j].Data, fmt.Appendf(nil, `"head":"%x"`, old.Prev), fmt.Appendf(nil, `"head":"%x"`, sumOf(x[j-1].Data)), 1)
		}
	}
	return x[len(x)-1].Data
}
