package evidence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/storage"
)

// spelled reports whether a record has the bytes that its value is written in:
// JSON also reads names in capitals, and an audit asks for the bytes.
func spelled[T any](k storage.Kind[T], r storage.Record, v T) bool {
	b, err := k.Encode(v)
	return err == nil && bytes.Equal(b, r.Data)
}

func (k packed[T]) spelled(r storage.Record, v T) bool {
	if len(r.Data) > 0 && r.Data[0] == '{' {
		return spelled(k.Kind, r, v)
	}
	return bytes.Equal(k.encode(&v), r.Data)
}

// knows holds the aliases that a head remembers against the events: one that no event
// names would keep the vault from noting whose envelope this is.
func (h chainHead) knows(events []Event) []fault {
	for i, k := range h.Known {
		named := slices.ContainsFunc(events, func(e Event) bool {
			return slices.ContainsFunc(e.Personal, func(c Committed) bool { return c.K == k })
		})
		if !named || slices.Contains(h.Known[:i], k) {
			return []fault{{CodeChain, h.Seq, "the head knows of a subject that no event names", Failed}}
		}
	}
	return nil
}

// beyond judges what a chain that is right by itself says of other things: of
// documents, of personal values in the vault, and, on the log's own chain, of access
// logs.
func (a *auditor) beyond(ctx context.Context, env string, events []Event) (out []fault, err error) {
	for seq := range otherBefores(events) {
		out = append(out, fault{CodeDocument, seq, wrongBefore, Failed})
	}
	switch {
	case a.o.WithoutVault:
	case a.o.Tenant != storage.Deployment:
		lost, lerr := a.l.losses(ctx, a.o.Tenant, env, events)
		out, err = append(out, lost...), lerr
	case env == logEnv:
		lost, lerr := a.accesses(ctx, events)
		out, err = append(out, lost...), lerr
	}
	return out, err
}

// anchorsOf judges the stored anchors that a chain's proofs lead to.
func (a *auditor) anchorsOf(ctx context.Context, list []placed) error {
	size := uint64(0)
	for i := range list {
		for leaf := max(list[i].Leaf, size); leaf < list[i].Leaf+list[i].N; leaf = size {
			page, err := a.l.store.List(ctx, storage.Deployment, anchored.Name, anchorID(leaf, "~"), 1)
			if err != nil {
				return fmt.Errorf("evidence: read anchors: %w", err)
			}
			if len(page) == 0 {
				return nil // not anchored yet
			}
			if size, err = a.anchor(ctx, page[0], true); err != nil || size <= leaf {
				return err
			}
		}
	}
	return nil
}

// allAnchors judges every stored anchor, and that the newest leads to the tree.
func (a *auditor) allAnchors(ctx context.Context) error {
	var last storage.Record
	for r, err := range storage.Scan(ctx, a.l.store, storage.Deployment, anchored.Name, "") {
		if err != nil {
			return fmt.Errorf("evidence: read anchors: %w", err)
		}
		if size, err := a.anchor(ctx, r, false); err != nil || size == 0 {
			return err
		}
		last = r
	}
	if last.Version == 0 {
		return nil
	}
	_, err := a.anchor(ctx, last, true)
	return err
}

// anchor holds a stored anchor against itself, the log's key and the tree. It
// returns the size of its tree, 0 once it was found wrong.
func (a *auditor) anchor(ctx context.Context, r storage.Record, tree bool) (uint64, error) {
	wrong := func(what string) (uint64, error) {
		a.fault(a.o.Env, Check{Code: CodeAnchor, Verdict: Failed, Path: "anchors", Detail: what})
		return 0, nil
	}
	rec, err := anchored.Decode(r)
	if err != nil || !spelled(anchored, r, rec) || !rec.whole(r.Key.ID) {
		return wrong("a stored anchor is not what was kept")
	}
	cp, n, err := parseCheckpoint([]byte(rec.Note))
	if err != nil || cp.Origin != a.l.origin || cp.Size != rec.Size || !bytes.Equal(cp.Root, rec.Root) || !a.l.signed(n) {
		return wrong("a stored anchor is not over a checkpoint of the log")
	}
	if !tree {
		return rec.Size, nil
	}
	if cp.Size > a.tree.Size {
		return wrong("a stored anchor is over a larger tree than there is")
	}
	root, err := tlog.TreeHash(int64(cp.Size), a.l.hashes(ctx, a.tree.Size, a.tree.Root))
	switch {
	case errors.Is(err, errTileRead):
		return 0, err
	case err != nil || !bytes.Equal(root[:], cp.Root):
		return wrong("a stored anchor is over a tree that this one does not extend")
	}
	return rec.Size, nil
}

// signed reports whether a key of the log signed a note.
func (l *Log) signed(n signedNote) bool {
	_, good := n.byLog(l.keys, 0)
	return good
}
