package storage

import "time"

// An Observer is told what a [Group] and the services on it do: how often, how
// long. It must be fast and safe for concurrent use, and must not call back.
// Without one nothing is measured. Package storage/observe has two for the
// standard library.
type Observer interface {
	Observe(Measure)
}

// A Measure is one observation. It names no tenant, account or id.
type Measure struct {
	Name   string // one of the Measure constants
	N      int64  // how many; see the constants
	Took   time.Duration
	Labels []Label // of closed sets; shared, and not to be changed
}

// A Label tells measures of one name apart.
type Label struct{ Key, Value string }

// Names of measures.
const (
	// MeasureCommit is a Commit of a group: N batches, Took. Label "outcome":
	// "ok", "unknown" or "error".
	MeasureCommit = "storage.commit"
	// MeasureGet is a Get of a group: N keys, Took.
	MeasureGet = "storage.get"
	// MeasureRound is a round of a group: N updates, Took from the first function
	// to the last answer.
	MeasureRound = "storage.round"
	// MeasureWait is what one update waited for its round, Took; N is 1.
	MeasureWait = "storage.wait"
	// MeasureConflict is N batches that lost a race.
	MeasureConflict = "storage.conflict"
	// MeasureLocked is a round that locked a record before it ran, since processes
	// compete for it: N updates, Took until it had the record.
	MeasureLocked = "storage.locked"
	// MeasureRerun is N updates that run again.
	MeasureRerun = "storage.rerun"
	// MeasureCache is N records that a round asked memory for. Label "found":
	// "yes" or "no".
	MeasureCache = "storage.cache"
	// MeasureSlow is a function of an update that took more than 5 ms, Took, and
	// held up the others of its round; N is 1.
	MeasureSlow = "storage.slow"
	// MeasureSweep is a sweep of package quota: N accounts, Took.
	MeasureSweep = "quota.sweep"
	// MeasureRefusal is a call of package quota that was refused; N is 1. Label
	// "code": quota.Code of the error.
	MeasureRefusal = "quota.refusal"
	// MeasureUnits is N units that a call of package quota moved. Label "entry":
	// "grant", "hold", "capture", "release" or "forfeit".
	MeasureUnits = "quota.units"
	// MeasureDecision is a decision of package membership; N is 1. Labels
	// "decision": "free", "charged" or "denied", and "reason" of what is not charged.
	MeasureDecision = "membership.decision"
)

const slowFunction = 5 * time.Millisecond

var (
	outcomeOK      = []Label{{"outcome", "ok"}}
	outcomeUnknown = []Label{{"outcome", "unknown"}}
	outcomeError   = []Label{{"outcome", "error"}}
	foundYes       = []Label{{"found", "yes"}}
	foundNo        = []Label{{"found", "no"}}
)

// measured counts what a round did, for its Observer.
type measured struct{ hits, misses, conflicts, reruns int64 }

func (g *Grouped) observe(name string, n int64, took time.Duration, labels []Label) {
	if g.opts.Observer != nil && n > 0 {
		g.opts.Observer.Observe(Measure{name, n, took, labels})
	}
}

// clock is time.Now if somebody wants to know.
func (g *Grouped) clock() (now time.Time) {
	if g.opts.Observer != nil {
		now = time.Now()
	}
	return now
}

func (r *round) report() {
	g := r.sh.g
	if g.opts.Observer == nil {
		return
	}
	g.observe(MeasureRound, int64(len(r.calls)), time.Since(r.start), nil)
	g.observe(MeasureConflict, r.seen.conflicts, 0, nil)
	g.observe(MeasureRerun, r.seen.reruns, 0, nil)
	g.observe(MeasureCache, r.seen.hits, 0, foundYes)
	g.observe(MeasureCache, r.seen.misses, 0, foundNo)
}
