package quota

import (
	"time"

	"github.com/countersign/countersign/storage"
)

// measure tells the observer what a call came to: why it was refused, or what it
// moved. A repeated call counts again; Tx forms do not count, for they may run
// several times.
func (l *Ledger) measure(answer any, err error) {
	if code := Code(err); code != "" {
		l.observe(storage.MeasureRefusal, 1, 0, "code", code)
	}
	if err != nil {
		return
	}
	switch a := answer.(type) {
	case Lot:
		l.observe(storage.MeasureUnits, int64(a.Granted), 0, "entry", string(EntryGrant))
	case Hold:
		for i := range a.Lines {
			kind := EntryHold
			if a.Lines[i].State == Captured { // a Charge
				kind = EntryCapture
			}
			l.observe(storage.MeasureUnits, int64(a.Lines[i].Units), 0, "entry", string(kind))
		}
	case Settlement:
		for _, line := range a.Lines {
			kind, ok := map[LineState]EntryKind{Captured: EntryCapture, Released: EntryRelease, Forfeited: EntryForfeit}[line.State]
			if ok {
				l.observe(storage.MeasureUnits, int64(line.Units), 0, "entry", string(kind))
			}
		}
	}
}

func (l *Ledger) observe(name string, n int64, took time.Duration, key, value string) {
	if l.cfg.Observer == nil || n == 0 {
		return
	}
	m := storage.Measure{Name: name, N: n, Took: took}
	if key != "" {
		m.Labels = []storage.Label{{Key: key, Value: value}}
	}
	l.cfg.Observer.Observe(m)
}
