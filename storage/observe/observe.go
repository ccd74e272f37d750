// Package observe tells the standard library what a storage.Group does.
//
// Start with [Expvar] for counters that a program publishes, or [Slog] for lines
// that somebody reads; hand one to storage.GroupOptions and quota.Config. Both
// are safe for concurrent use, and know no tenant, account or id.
package observe

import (
	"context"
	"expvar"
	"log/slog"

	"github.com/countersign/countersign/storage"
)

// Expvar adds measures to a map, under the name and the labels' values: "x.count"
// how many measures came, "x.n" the sum of N, and "x.us" that of Took in
// microseconds where there is one. The caller publishes the map.
func Expvar(m *expvar.Map) storage.Observer { return counters{m} }

type counters struct{ m *expvar.Map }

// Observe implements [storage.Observer].
func (c counters) Observe(m storage.Measure) {
	name := m.Name
	for _, l := range m.Labels {
		name += "." + l.Value
	}
	c.m.Add(name+".count", 1)
	c.m.Add(name+".n", m.N)
	if m.Took > 0 {
		c.m.Add(name+".us", m.Took.Microseconds())
	}
}

// Slog logs every measure at a level, with its name as the message: for a test or
// a search for a fault, for there are many.
func Slog(l *slog.Logger, level slog.Level) storage.Observer { return lines{l, level} }

type lines struct {
	l     *slog.Logger
	level slog.Level
}

// Observe implements [storage.Observer].
func (s lines) Observe(m storage.Measure) {
	if !s.l.Enabled(context.Background(), s.level) {
		return
	}
	attrs := make([]slog.Attr, 0, len(m.Labels)+2)
	attrs = append(attrs, slog.Int64("n", m.N))
	if m.Took > 0 {
		attrs = append(attrs, slog.Duration("took", m.Took))
	}
	for _, l := range m.Labels {
		attrs = append(attrs, slog.String(l.Key, l.Value))
	}
	s.l.LogAttrs(context.Background(), s.level, m.Name, attrs...)
}
