package storagetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/storage"
)

// oddParts differ only in what a careless store ignores.
var oddParts = []string{
	"a", "A", "a ", " a", "a\t", "a\n", "aa", "a.", "a/", "a\x01", "a\x7f", "ab", "%", "%25", "_", "-", "'", `"`, `\`, "a\\", ";", "*", "?", ":",
	"á", "a\u0301", // composed and decomposed
	"ß", "ss", "SS", "ı", "i", "I", "İ", "Å", "\u212b", "ﬁ", "fi", // folding
	"０", "0", "00", "1", "10", "2", "-1", // width, numbers
	"契约", "契約", "\u200b", "a\u200b", "\ufeffa", "\U0001f58b", "\U0010ffff",
	"null", "NULL", "true", "con", "..", ".", strings.Repeat("长", 21),
}

var keyRules = []rule{
	{"odd keys", "keys match and sort byte for byte: no case folding, trimming, collation or normalisation", func(p *probe) {
		for part, at := range map[string]func(string) storage.Key{
			"id":     func(s string) storage.Key { return storage.Key{Tenant: "t", Kind: "k", ID: s} },
			"kind":   func(s string) storage.Key { return storage.Key{Tenant: "t", Kind: s, ID: "i"} },
			"tenant": func(s string) storage.Key { return storage.Key{Tenant: s, Kind: "kk", ID: "i"} },
		} {
			for i, s := range oddParts {
				b := batch(storage.Write{Key: at(s), Data: []byte(fmt.Sprint(i)), Due: epoch})
				for n := range i%3 + 1 {
					b.Entries = append(b.Entries, entry(at(s), uint64(n)+1, fmt.Sprint(i)))
				}
				p.okBatch(fmt.Sprintf("creating %s %q beside others", part, s), b)
			}
			for i, s := range oddParts {
				want := storage.Record{Key: at(s), Version: 1, Seq: uint64(i%3 + 1), Data: []byte(fmt.Sprint(i)), Due: epoch}
				p.same(part, want, p.get(at(s))[0])
				es := p.entries(at(s), 0, 0)
				if len(es) != i%3+1 {
					p.failf("the stream of %s %q has %d entries, want %d", part, s, len(es), i%3+1)
				}
				for _, e := range es {
					if string(e.Data) != fmt.Sprint(i) {
						p.failf("the stream of %s %q holds an entry of another", part, s)
					}
				}
			}
		}
		sorted := slices.Clone(oddParts)
		slices.Sort(sorted)
		var got []string
		for after := ""; ; {
			page := p.list("t", "k", after, 7)
			for _, r := range page {
				got = append(got, r.Key.ID)
			}
			if len(page) < 7 {
				break
			}
			after = page[6].Key.ID
		}
		if !slices.Equal(got, sorted) {
			p.failf("List gives the ids as %q, want %q", got, sorted)
		}
		got = nil
		for _, k := range p.due("kk", epoch, 0) {
			got = append(got, k.Tenant)
		}
		if !slices.Equal(got, sorted) {
			p.failf("Due gives the tenants as %q, want %q", got, sorted)
		}
	}},
	{"parts apart", "a key is three parts: moving a boundary between them makes another key", func(p *probe) {
		keys := []storage.Key{
			{Tenant: "ab", Kind: "c", ID: "d"}, {Tenant: "a", Kind: "bc", ID: "d"}, {Tenant: "a", Kind: "b", ID: "cd"},
			{Tenant: "a/b", Kind: "c", ID: "d"}, {Tenant: "a", Kind: "b/c", ID: "d"}, {Tenant: "a", Kind: "b", ID: "c/d"},
			{Tenant: "a\x01b", Kind: "c", ID: "d"}, {Tenant: "a", Kind: "b\x01c", ID: "d"}, {Tenant: "a", Kind: "b", ID: "c\x01d"},
			{Tenant: "c", Kind: "b", ID: "a"}, {Tenant: "b", Kind: "a", ID: "cd"},
		}
		for i, k := range keys {
			p.ok("creating", storage.Write{Key: k, Data: []byte(fmt.Sprint(i)), Due: epoch})
		}
		for i, k := range keys {
			p.same("", storage.Record{Key: k, Version: 1, Data: []byte(fmt.Sprint(i)), Due: epoch}, p.get(k)[0])
			for _, r := range p.list(k.Tenant, k.Kind, "", 0) {
				if r.Key.Tenant != k.Tenant || r.Key.Kind != k.Kind {
					p.failf("List of %q, %q shows %q", k.Tenant, k.Kind, r.Key)
				}
			}
			for _, d := range p.due(k.Kind, epoch, 0) {
				if d.Kind != k.Kind || !slices.Contains(keys, d) {
					p.failf("Due of %q shows %q", k.Kind, d)
				}
			}
		}
	}},
	{"tenants", "Tenant is part of the key: nothing of one tenant is reached under another", func(p *probe) {
		a := storage.Key{Tenant: "a", Kind: "k", ID: "same"}
		b := storage.Key{Tenant: "b", Kind: "k", ID: "same"}
		p.okBatch("creating under one tenant", storage.Batch{Writes: []storage.Write{create(a, "of a")}, Entries: []storage.Entry{entry(a, 1, "of a")}})
		p.same("under another tenant", storage.Record{Key: b}, p.get(b)[0])
		if len(p.list("b", "k", "", 0)) != 0 || len(p.entries(b, 0, 0)) != 0 {
			p.failf("List or Entries of another tenant are not empty")
		}
		p.lost("writing under another tenant", batch(write(b, 1, "x")), a, b)
		p.okBatch("creating the same id", storage.Batch{Writes: []storage.Write{create(b, "of b")}, Entries: []storage.Entry{entry(b, 1, "of b")}})
		p.same("the first tenant", storage.Record{Key: a, Version: 1, Seq: 1, Data: []byte("of a")}, p.get(a)[0])
		if es := p.entries(a, 0, 0); len(es) != 1 || string(es[0].Data) != "of a" {
			p.failf("the stream of the first tenant is %v", es)
		}
	}},
}
