package quota

import (
	"cmp"
	"slices"
)

// burn orders lots as they are spent: Priority, earlier end, narrower scope,
// given before bought, earlier start, id. It is total, so the order in which
// lots were stored never shows.
func burn(a, b *Lot) int {
	if c := cmp.Compare(a.Priority, b.Priority); c != 0 {
		return c
	}
	if c := a.Until.Compare(b.Until); c != 0 {
		return c
	}
	if c := cmp.Compare(breadth(a), breadth(b)); c != 0 {
		return c
	}
	if c := cmp.Compare(cost(a), cost(b)); c != 0 {
		return c
	}
	if c := a.From.Compare(b.From); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// breadth grows with the number of kinds a lot pays for; no scope is all.
func breadth(l *Lot) int {
	if len(l.Scope) == 0 {
		return 1 << 30
	}
	return len(l.Scope)
}

// cost is 1 for what money was paid for, 0 for everything given.
func cost(l *Lot) int {
	if l.Source == Bought || l.Source == Returned {
		return 1
	}
	return 0
}

// sortScope brings a scope to its one form.
func sortScope(scope []ChargeKind) []ChargeKind {
	if len(scope) == 0 {
		return nil
	}
	out := slices.Clone(scope)
	slices.Sort(out)
	return slices.Compact(out)
}
