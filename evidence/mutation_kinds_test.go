package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/storage"
)

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

// mutateEntries puts a bundle together again from changed entries: everything
// that needs no key is right.
func (a *base) mutateEntries(rnd *rand.Rand) (string, []byte, found) {
	files, foreign, names := a.files, a.foreign, a.paths
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

// mutateStore sets what the store will say, and tells what must come of it.
func mutateStore(rnd *rand.Rand, l *liar, theirs []storage.Entry, old []byte) (kind, what string, want found) {
	mine := func(k storage.Key) bool { return k.Kind == "evidence.chain" && k.ID == "nda-17" }
	i, j := rnd.IntN(envelopeEvents), rnd.IntN(envelopeEvents)
	if i == j {
		j = (j + 1) % envelopeEvents
	}
	at, bit := rnd.IntN(4000), 1<<rnd.IntN(8)
	what = fmt.Sprintf("events %d and %d, byte %d, bits %#02x", i+1, j+1, at, bit)
	event := found{seq: uint64(i) + 1}
	edit := func(f func([]storage.Entry) []storage.Entry) {
		l.entries = func(k storage.Key, list []storage.Entry) []storage.Entry {
			if mine(k) {
				return f(list)
			}
			return list
		}
	}
	bits := func(kind string, of func(storage.Key) bool, f func([]byte) []byte) {
		l.record = func(r storage.Record) storage.Record {
			if r.Key.Kind == kind && (of == nil || of(r.Key)) {
				r.Data = f(bytes.Clone(r.Data))
			}
			return r
		}
	}
	record := func(kind string, of func(storage.Key) bool, f func([]byte) []byte) { // by the names of its members
		bits(kind, of, func(b []byte) []byte { return f(named(kind, b)) })
	}
	flip := func(b []byte) []byte { b[at%len(b)] ^= byte(bit); return b }
	switch kind = []string{"event's bit flipped", "event's byte cut", "event deleted", "event doubled", "event of another envelope", "events swapped", "event back-dated", "last events cut",
		"event emptied", "head rolled back", "head ahead", "head's instant moved", "head's hash changed", "seal forgotten", "index of leaves moved", "leaf changed", "tile changed",
		"value lost", "chain written again", "anchor changed", "head's bit flipped", "mark's bit flipped", "tree head's bit flipped", "tree head of before",
		"event of another tenant"}[rnd.IntN(25)]; kind {
	case "event's bit flipped":
		edit(func(x []storage.Entry) []storage.Entry { x[i].Data = flip(bytes.Clone(x[i].Data)); return x })
		return kind, what, event
	case "event's byte cut":
		edit(func(x []storage.Entry) []storage.Entry {
			d := x[i].Data
			k := at % len(d)
			x[i].Data = slices.Concat(d[:k], d[k+1:])
			return x
		})
		return kind, what, event
	case "event deleted":
		edit(func(x []storage.Entry) []storage.Entry { return append(x[:i:i], x[i+1:]...) })
		return kind, what, event
	case "event doubled":
		i = min(i, envelopeEvents-2) // the head knows of no ninth entry
		edit(func(x []storage.Entry) []storage.Entry { return slices.Insert(x, i, x[i]) })
		return kind, what, found{seq: uint64(i) + 2}
	case "event of another envelope":
		edit(func(x []storage.Entry) []storage.Entry { x[i] = theirs[i]; return x })
		return kind, what, event
	case "events swapped":
		edit(func(x []storage.Entry) []storage.Entry { x[i], x[j] = x[j], x[i]; return x })
		return kind, what, found{seq: uint64(min(i, j)) + 1}
	case "event back-dated":
		edit(func(x []storage.Entry) []storage.Entry {
			x[i].Data = bytes.Replace(x[i].Data, []byte(`"at":"2026`), []byte(`"at":"2025`), 1)
			return x
		})
		return kind, what, event
	case "last events cut":
		edit(func(x []storage.Entry) []storage.Entry { return x[:i] })
		return kind, what, event
	case "event emptied":
		edit(func(x []storage.Entry) []storage.Entry { x[i].Data = nil; return x })
		return kind, what, event
	case "head rolled back":
		n := 1 + rnd.IntN(envelopeEvents-1)
		record("evidence.chain", mine, func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":8`), fmt.Appendf(nil, `"seq":%d`, n), 1) })
		return kind, what, found{seq: uint64(n)}
	case "head ahead":
		n := envelopeEvents + 1 + rnd.IntN(1000)
		record("evidence.chain", mine, func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":8`), fmt.Appendf(nil, `"seq":%d`, n), 1) })
		return kind, what, found{seq: envelopeEvents + 1}
	case "head's instant moved":
		record("evidence.chain", mine, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"at":"2026`), fmt.Appendf(nil, `"at":"%04d`, 1000+rnd.IntN(1000)), 1)
		})
		return kind, what, found{seq: envelopeEvents}
	case "head's hash changed":
		record("evidence.chain", mine, func(b []byte) []byte {
			k := bytes.Index(b, []byte(`"hash":"`)) + 8 + at%64
			b[k] = "0123456789abcdef"[(bytes.IndexByte([]byte("0123456789abcdef"), b[k])+1+bit%15)%16]
			return b
		})
		return kind, what, found{seq: envelopeEvents}
	case "seal forgotten":
		to := rnd.IntN(7)
		record("evidence.chain", mine, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"sealed":7`), fmt.Appendf(nil, `"sealed":%d`, to), 1)
		})
		return kind, what, found{seq: 7}
	case "index of leaves moved":
		to := rnd.IntN(8)
		record("evidence.mark", func(k storage.Key) bool { return k.ID == "nda-17" }, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"leaf":8`), fmt.Appendf(nil, `"leaf":%d`, to), 1)
		})
		return kind, what, found{path: "mark", none: true}
	case "leaf changed":
		bits("evidence.leaves", nil, func(b []byte) []byte { b[len(b)/2+at%(len(b)/2)] ^= byte(bit); return b })
		return kind, what, found{path: "leaves", none: true}
	case "tile changed":
		bits("evidence.tile", nil, flip)
		return kind, what, found{path: "tiles", none: true}
	case "value lost":
		seed := rnd.IntN(2) == 0
		l.record = func(r storage.Record) storage.Record {
			if seed && r.Key.Kind == "privacy.seed" || !seed && r.Key.Kind == "privacy.alias" {
				r.Version, r.Data = 0, nil
			}
			return r
		}
		return kind, what, found{at: 3, none: true}
	case "chain written again": // with fresh hashes, the head's included
		i = rnd.IntN(envelopeEvents)
		edit(func(x []storage.Entry) []storage.Entry { rewrite(x, i); return x })
		last := rewrite(must(l.Store.Entries(context.Background(), storage.Key{Tenant: "acme", Kind: "evidence.chain", ID: "nda-17"}, 0, 100)), i)
		record("evidence.chain", mine, func(b []byte) []byte {
			k := bytes.Index(b, []byte(`"hash":"`)) + 8
			copy(b[k:], fmt.Sprintf("%x", sumOf(last)))
			return b
		})
		return kind, what, found{seq: uint64(i) + 1}
	case "event of another tenant": // the same envelope, lived elsewhere
		edit(func(x []storage.Entry) []storage.Entry {
			x[i].Data = bytes.Replace(theirs[i].Data, []byte(`"env":"first"`), []byte(`"env":"nda-17"`), 1)
			return x
		})
		return kind, what, event
	case "tree head of before":
		bits("evidence.tree", nil, func([]byte) []byte { return old })
		return kind, what, found{path: "mark", none: true}
	case "head's bit flipped":
		bits("evidence.chain", mine, flip)
		return kind, what, found{ruin: true}
	case "mark's bit flipped":
		bits("evidence.mark", func(k storage.Key) bool { return k.ID == "nda-17" }, flip)
		return kind, what, found{path: "mark", none: true, ruin: true}
	case "tree head's bit flipped":
		bits("evidence.tree", nil, flip)
		return kind, what, found{ruin: true}
	default:
		bits("evidence.anchor", func(k storage.Key) bool { return strings.HasPrefix(k.ID, "0000000000000010") }, flip)
		return kind, what, found{path: "anchors", none: true}
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
