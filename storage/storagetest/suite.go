package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/countersign/countersign/storage"
)

// TestStore checks a store against the contract of [storage.Store], one subtest
// per rule. open returns an empty store.
func TestStore(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, r := range storeRules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A rule is one sentence of a contract and how to find out.
type rule struct {
	name string
	text string // the sentence, printed when it is broken
	run  func(p *probe)
}

// storeRules are all rules of TestStore.
var storeRules = join(recordRules, batchRules, streamRules, indexRules, keyRules, raceRules, modelRules)

func join(lists ...[]rule) (all []rule) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// A probe runs one rule on one store.
type probe struct {
	ctx context.Context
	s   storage.Store
}

// broken is what a probe panics with to end a rule.
type broken struct{ what string }

// check runs the rule. Its error says which rule is broken and how.
func (r rule) check(s storage.Store) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	defer func() {
		switch e := recover().(type) {
		case nil:
		case broken:
			err = fmt.Errorf("broken rule %q: %s\nseen: %s", r.name, r.text, e.what)
		default:
			panic(e)
		}
	}()
	r.run(&probe{ctx: ctx, s: s})
	return nil
}

// failf ends the rule. It must run in the rule's goroutine.
func (p *probe) failf(format string, args ...any) { panic(broken{fmt.Sprintf(format, args...)}) }

func (p *probe) noError(err error, what string) {
	if err != nil {
		p.failf("%s: %v", what, err)
	}
}

func (p *probe) get(keys ...storage.Key) []storage.Record {
	recs, err := p.s.Get(p.ctx, keys)
	p.noError(err, "Get")
	if len(recs) != len(keys) {
		p.failf("Get of %d keys returned %d records", len(keys), len(recs))
	}
	for i, r := range recs {
		if r.Key != keys[i] {
			p.failf("Get of %q returned the record of %q", keys[i], r.Key)
		}
	}
	return recs
}

func (p *probe) commit(batches ...storage.Batch) []storage.Outcome {
	outs, err := p.s.Commit(p.ctx, batches)
	p.noError(err, "Commit")
	if len(outs) != len(batches) {
		p.failf("Commit of %d batches returned %d outcomes", len(batches), len(outs))
	}
	return outs
}

// ok commits one batch that must succeed.
func (p *probe) ok(what string, writes ...storage.Write) {
	p.okBatch(what, storage.Batch{Writes: writes})
}

func (p *probe) okBatch(what string, b storage.Batch) {
	if out := p.commit(b)[0]; !out.OK {
		p.failf("%s: the outcome is not OK", what)
	}
}

// lost commits one batch that must lose its race and change none of keys.
func (p *probe) lost(what string, b storage.Batch, keys ...storage.Key) {
	before := p.get(keys...)
	if out := p.commit(b)[0]; out.OK {
		p.failf("%s: the outcome is OK", what)
	}
	for i, r := range p.get(keys...) {
		p.same(what+": after a lost race", before[i], r)
	}
}

// refused commits batches that must be refused and change none of keys.
func (p *probe) refused(want error, what string, batches []storage.Batch, keys ...storage.Key) {
	before := p.get(keys...)
	if _, err := p.s.Commit(p.ctx, batches); !errors.Is(err, want) {
		p.failf("%s: the error is %v, want %v", what, err, want)
	}
	for i, r := range p.get(keys...) {
		p.same(what+": after a refused Commit", before[i], r)
	}
}

// same compares records; nil and empty Data are one.
func (p *probe) same(what string, want, got storage.Record) {
	if diff := recordDiff(want, got); diff != "" {
		p.failf("%s: %s", what, diff)
	}
}

func recordDiff(want, got storage.Record) string {
	switch {
	case got.Key != want.Key:
		return fmt.Sprintf("key %q, want %q", got.Key, want.Key)
	case got.Version != want.Version:
		return fmt.Sprintf("%q has version %d, want %d", got.Key, got.Version, want.Version)
	case got.Seq != want.Seq:
		return fmt.Sprintf("%q has seq %d, want %d", got.Key, got.Seq, want.Seq)
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Sprintf("%q has data %.60q, want %.60q", got.Key, got.Data, want.Data)
	case !got.Due.Equal(want.Due):
		return fmt.Sprintf("%q has due %v, want %v", got.Key, got.Due, want.Due)
	case got.Due.Location() != time.UTC:
		return fmt.Sprintf("%q has due in %v, want UTC", got.Key, got.Due.Location())
	}
	return ""
}

func (p *probe) entries(stream storage.Key, after uint64, limit int) []storage.Entry {
	es, err := p.s.Entries(p.ctx, stream, after, limit)
	p.noError(err, "Entries")
	for i, e := range es {
		if e.Stream != stream {
			p.failf("Entries of %q returned one of %q", stream, e.Stream)
		}
		if want := after + uint64(i) + 1; e.Seq != want {
			p.failf("Entries after %d: element %d has seq %d, want %d", after, i, e.Seq, want)
		}
		if e.At.Location() != time.UTC {
			p.failf("entry %d has At in %v, want UTC", e.Seq, e.At.Location())
		}
	}
	if r, ok := p.s.(storage.StreamReader); ok {
		part := storage.StreamPart{Stream: stream, After: after, Limit: limit}
		got, err := r.Streams(p.ctx, []storage.StreamPart{part, {Stream: key("none such")}, part})
		p.noError(err, "Streams")
		if len(got) != 3 || len(got[1]) != 0 || !reflect.DeepEqual(got[0], es) || !reflect.DeepEqual(got[2], es) {
			p.failf("Streams returned other entries than Entries")
		}
	}
	return es
}

func (p *probe) list(tenant, kind, after string, limit int) []storage.Record {
	recs, err := p.s.List(p.ctx, tenant, kind, after, limit)
	p.noError(err, "List")
	return recs
}

func (p *probe) due(kind string, until time.Time, limit int) []storage.Key {
	keys, err := p.s.Due(p.ctx, kind, until, limit)
	p.noError(err, "Due")
	return keys
}

// Shorthand of the rules.

func key(id string) storage.Key { return storage.Key{Tenant: "acme", Kind: "t.rec", ID: id} }

func create(k storage.Key, data string) storage.Write {
	return storage.Write{Key: k, Data: []byte(data)}
}

func write(k storage.Key, expect uint64, data string) storage.Write {
	return storage.Write{Key: k, Expect: expect, Data: []byte(data)}
}

func check(k storage.Key, expect uint64) storage.Write {
	return storage.Write{Key: k, Expect: expect, Check: true}
}

func remove(k storage.Key, expect uint64) storage.Write {
	return storage.Write{Key: k, Expect: expect, Delete: true}
}

func batch(writes ...storage.Write) storage.Batch { return storage.Batch{Writes: writes} }

func entry(k storage.Key, seq uint64, data string) storage.Entry {
	return storage.Entry{Stream: k, Seq: seq, At: epoch, Data: []byte(data)}
}

// epoch is an instant of the tests, with every digit down to microseconds.
var epoch = time.Date(2026, 3, 1, 4, 5, 6, 789012000, time.UTC)
