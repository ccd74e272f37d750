package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/countersign/countersign/storage"
)

// Events reads a chain in order, from the event after the given one. It checks
// while it reads: form, sequence, links and the head. Where stored bytes are
// not what was recorded it ends with a [*TamperError], so an event that it
// yields may still be contradicted by a later one; [Log.Audit] judges a chain
// as a whole. An envelope without events yields nothing.
func (l *Log) Events(ctx context.Context, tenant, env string, after uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		raws, head, err := l.read(ctx, tenant, env)
		if err != nil {
			yield(Event{}, err)
			return
		}
		events, bad := l.judge(tenant, env, raws, head)
		for i := range events {
			if bad != nil && uint64(i)+1 >= bad.Seq {
				break
			}
			if events[i].Seq > after && !yield(events[i], nil) {
				return
			}
		}
		if bad != nil {
			yield(Event{}, bad)
		}
	}
}

// read fetches a chain as stored, with its head.
func (l *Log) read(ctx context.Context, tenant, env string) ([][]byte, chainHead, error) {
	if err := checkChain(tenant, env); err != nil {
		return nil, chainHead{}, err
	}
	key := chains.Key(tenant, env)
	recs, err := l.store.Get(ctx, []storage.Key{key})
	if err != nil {
		return nil, chainHead{}, fmt.Errorf("evidence: read chain: %w", err)
	}
	if recs[0].Version == 0 {
		return nil, chainHead{}, nil
	}
	head, err := chains.Decode(recs[0])
	if err != nil {
		return nil, chainHead{}, err
	}
	if head.Seq == 0 {
		return nil, chainHead{}, fmt.Errorf("evidence: head of a chain without events: %w", storage.ErrCorrupt)
	}
	raws, err := l.entries(ctx, key, head)
	return raws, head, err
}

// entries fetches the events of a chain up to its head.
func (l *Log) entries(ctx context.Context, key storage.Key, head chainHead) ([][]byte, error) {
	raws := make([][]byte, 0, min(head.Seq, 512))
	for uint64(len(raws)) < head.Seq {
		// Entries after the head read above belong to later commits.
		page, err := l.store.Entries(ctx, key, uint64(len(raws)), int(min(head.Seq-uint64(len(raws)), 512)))
		if err != nil {
			return nil, fmt.Errorf("evidence: read chain: %w", err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			raws = append(raws, e.Data)
		}
	}
	return raws, nil
}

// judge parses a chain and finds the first event that cannot be right.
func (l *Log) judge(tenant, env string, raws [][]byte, head chainHead) ([]Event, *TamperError) {
	events, faults := parseChain(raws, chainFacts{origin: l.origin, tenant: tenant, env: env, count: head.Seq, head: head.Hash})
	faults = head.agrees(events, faults)
	if len(faults) == 0 {
		return events, nil
	}
	first := faults[0]
	for _, f := range faults[1:] {
		if f.seq < first.seq {
			first = f
		}
	}
	return events, &TamperError{Env: env, Seq: first.seq, What: first.what}
}

// agrees adds where a head does not say what the events do, of which it is only
// an extract, unless the events themselves are at odds.
func (h chainHead) agrees(events []Event, faults []fault) []fault {
	if len(faults) > 0 || uint64(len(events)) != h.Seq || h.Seq == 0 {
		return faults
	}
	if last := &events[len(events)-1]; !h.At.Equal(last.At) {
		faults = append(faults, fault{CodeChain, last.Seq, "not the instant that the head has", Failed})
	}
	seal := uint64(0)
	for i := range events {
		if events[i].Type == TypeSealed {
			seal = events[i].Seq
		}
	}
	if seal != h.Sealed {
		faults = append(faults, fault{CodeSeal, min(max(seal, h.Sealed), h.Seq), "not where the head has the seal", Failed})
	}
	return faults
}

// chainFacts are what is known of a chain from elsewhere.
type chainFacts struct {
	origin, tenant, env string   // empty: unknown
	count               uint64   // number of events; 0: unknown
	head                []byte   // hash of the last event; nil: unknown
	hashes              [][]byte // hash of every event; nil: unknown
	glance              bool     // the events are judged and not used
}

type fault struct {
	code    string
	seq     uint64
	what    string
	verdict Verdict
}

// parseChain reads events one after another and returns what is wrong with
// them. Each fault names the smallest seq that cannot be right by what the
// check looks at:
//
//   - an event whose hash is known and differs is wrong itself;
//   - of a broken link the later event is wrong if its own hash does not
//     answer its successor either, else the earlier one, whose successor
//     stands firm.
func parseChain(raws [][]byte, k chainFacts) ([]Event, []fault) {
	events := make([]Event, len(raws))
	_, faults := judgeChain(events, raws, k)
	return events, faults
}

// judgeChain is parseChain into events that may have been used before, whose
// room it reuses. It returns the hash of every event, too.
func judgeChain(events []Event, raws [][]byte, k chainFacts) ([][sha256.Size]byte, []fault) {
	var faults []fault
	add := func(code string, seq uint64, what string) { faults = append(faults, fault{code, seq, what, Failed}) }
	formed, sums := make([]bool, len(raws)), make([][sha256.Size]byte, len(raws))
	sealed := uint64(0)
	for i, raw := range raws {
		sums[i] = sha256.Sum256(raw)
		seq := uint64(i) + 1
		e := &events[i]
		var err error
		if k.glance {
			err = e.glance(raw, k.env)
		} else {
			err = e.scan(raw) // raws are the caller's to give
		}
		switch {
		case err != nil:
			*e = Event{}
			add(CodeEvent, seq, "not an event in canonical form")
			continue
		case e.Seq != seq:
			*e = Event{}
			add(CodeChain, seq, "sequence breaks")
			continue
		case k.env != "" && e.Env != k.env:
			*e = Event{}
			add(CodeChain, seq, "event of another envelope")
			continue
		}
		k.env = e.Env
		formed[i] = true
		info, known := registry[e.Type]
		switch {
		case !known:
			faults = append(faults, fault{CodeEventType, seq, "unknown event type", Indeterminate})
		case e.checkFor(info, false) != nil:
			add(CodeEvent, seq, "lacks what its type requires")
		}
		if sealed > 0 && known && !info.After {
			add(CodeSeal, seq, "may not follow the chain seal")
		}
		if e.Type == TypeSealed {
			sealed = seq
			if n, ok := e.X["count"].(int64); !ok || uint64(n) != seq-1 {
				add(CodeSeal, seq, "seal counts other events")
			}
			if h, ok := e.X["head"].(string); !ok || h != storage.Hex(e.Prev).String() {
				add(CodeSeal, seq, "seal names another head")
			}
		}
	}
	hash := func(i int) []byte { return sums[i][:] }
	for i := range raws {
		seq := uint64(i) + 1
		if k.hashes != nil && i < len(k.hashes) && !bytes.Equal(hash(i), k.hashes[i]) {
			add(CodeChain, seq, "not the event that was recorded")
		}
		if !formed[i] {
			continue
		}
		switch {
		case i == 0 && k.origin != "" && !bytes.Equal(events[0].Prev, Genesis(k.origin, k.tenant, k.env)):
			add(CodeChain, 1, "does not start at the genesis")
		case i > 0 && !bytes.Equal(events[i].Prev, hash(i-1)):
			// Does what follows vouch for this event?
			firm := false
			switch {
			case k.hashes != nil:
				firm = i < len(k.hashes) && bytes.Equal(hash(i), k.hashes[i])
			case i+1 < len(raws):
				firm = formed[i+1] && bytes.Equal(events[i+1].Prev, hash(i))
			case k.head != nil:
				firm = bytes.Equal(hash(i), k.head)
			}
			if firm {
				add(CodeChain, seq-1, "not the event its successor points to")
			} else {
				add(CodeChain, seq, "does not point to its predecessor")
			}
		}
		if i > 0 && formed[i-1] {
			if events[i].At.Before(events[i-1].At) || events[i].Back && !events[i].At.Equal(events[i-1].At) {
				add(CodeChain, seq, "time goes back")
			}
		}
	}
	n := uint64(len(raws))
	switch {
	case k.count > n:
		add(CodeChain, n+1, "missing")
	case k.count > 0 && k.count < n:
		add(CodeChain, k.count+1, "beyond the end")
	case k.head != nil && n > 0 && !bytes.Equal(hash(int(n)-1), k.head):
		// With the events in one line, only the last can differ from the head.
		add(CodeChain, n, "not the head of the chain")
	}
	return sums, faults
}

// faults adds faults under their codes, and a passed check for each code of the
// chain that has none.
func (r *Report) faults(list []fault) {
	for _, code := range []string{CodeEvent, CodeEventType, CodeChain, CodeSeal} {
		clean := true
		for _, f := range list {
			if f.code != code {
				continue
			}
			clean = false
			r.add(Check{Code: code, Verdict: f.verdict, Seq: f.seq, Detail: f.what})
			if f.verdict == Failed {
				r.bad(f.seq)
			}
		}
		if clean && code != CodeEventType {
			r.add(Check{Code: code, Verdict: Passed})
		}
	}
}
