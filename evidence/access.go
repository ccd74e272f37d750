package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// accessBatch is how many heads of access logs one event names.
const accessBatch = 32

// tellAccesses puts the ends of access logs that grew on the log's own chain (A4), so
// that the Merkle tree and its anchors bind who read what, too.
func (l *Log) tellAccesses(ctx context.Context) error {
	start := l.now()
	for range 4096 { // more than that waits for the next beat
		heads, err := l.vault.AccessHeads(ctx, start, accessBatch)
		if err != nil {
			return fmt.Errorf("evidence: access logs: %w", err)
		}
		if len(heads) == 0 {
			return nil
		}
		list := make([]any, len(heads))
		for i, h := range heads {
			list[i] = map[string]any{"tenant": h.Tenant, "stream": h.Stream, "n": h.Seq, "h": h.Hash}
		}
		if err := l.say(ctx, TypeAccess, map[string]any{"heads": list}); err != nil {
			return err
		}
		for _, h := range heads {
			if err := l.vault.ToldAccess(ctx, h); err != nil {
				return fmt.Errorf("evidence: access logs: %w", err)
			}
		}
		if len(heads) < accessBatch {
			return nil
		}
	}
	return nil
}

// accesses holds the access logs against what heartbeats said of them.
func (a *auditor) accesses(ctx context.Context, events []Event) ([]fault, error) {
	var out []fault
	for i := range events {
		e := &events[i]
		if e.Type != TypeAccess {
			continue
		}
		list, _ := e.X["heads"].([]any)
		for _, x := range list {
			m, _ := x.(map[string]any)
			r := reader{o: m}
			h := privacy.AccessHead{Tenant: r.text("tenant"), Stream: r.text("stream"), Seq: r.int("n"), Hash: r.text("h")}
			err := a.l.vault.CheckAccess(ctx, h)
			switch {
			case errors.Is(err, storage.ErrCorrupt):
				out = append(out, fault{CodeAccess, e.Seq, "access log " + h.Stream + " of " + h.Tenant + " was cut or changed", Failed})
			case err != nil:
				return nil, fmt.Errorf("evidence: audit access logs: %w", err)
			}
		}
	}
	if len(out) == 0 && !a.r.Has(CodeAccess, Passed) {
		a.r.add(Check{Code: CodeAccess, Verdict: Passed})
	}
	return out, nil
}
