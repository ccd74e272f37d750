package quota

import (
	"context"
	"math/bits"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A UnitForecast says how long the units of one kind last, if they go on being
// held as in the last 28 days. Lots are burnt in their order; scopes are taken
// as if every use were in them.
type UnitForecast struct {
	Unit Unit  `json:"unit"`
	Used Units `json:"used"` // held on the last 28 days of Asia/Shanghai, today included, net of returns
	Peak Units `json:"peak"` // the most on one of them
	// Runway is when the units run out at the mean of those days, PeakRunway at
	// the peak every day; zero: not before the last lot ends.
	Runway     time.Time `json:"runway,omitzero"`
	PeakRunway time.Time `json:"peak_runway,omitzero"`
	// Unused is how many units will expire unused at the mean.
	Unused Units `json:"unused"`
}

// Forecast returns, per unit, how long an account's units will last and how many
// will expire unused (H50). It is arithmetic on the past, not a promise.
func (l *Ledger) Forecast(ctx context.Context, req BalanceRequest) ([]UnitForecast, error) {
	return view(ctx, l, req, l.ForecastTx)
}

// ForecastTx is [Ledger.Forecast] within a commit.
func (l *Ledger) ForecastTx(_ context.Context, tx *storage.Tx, req BalanceRequest) ([]UnitForecast, error) {
	o, err := l.read(tx, req.Tenant, req.Account)
	if err != nil {
		return nil, err
	}
	var out []UnitForecast
	for _, u := range balance(&o.journal).Units {
		f := UnitForecast{Unit: u.Unit}
		today := dayOf(o.at)
		for _, d := range o.Usage {
			if d.Unit == u.Unit && d.Day > today-usageDays && d.Day <= today {
				f.Used += d.Units
				f.Peak = max(f.Peak, d.Units)
			}
		}
		f.Used = max(f.Used, 0) // returns of older holds may outweigh
		f.Runway, f.Unused = o.burnDown(u.Unit, f.Used, usageDays)
		f.PeakRunway, _ = o.burnDown(u.Unit, f.Peak, 1)
		out = append(out, f)
	}
	return out, nil
}

// burnDown spends the live lots of a unit at so many units in so many days, and
// returns when a unit is missing, and what expires unused until then or at all.
func (j *journal) burnDown(unit Unit, units Units, days int64) (empty time.Time, unused Units) {
	type part struct {
		from, until time.Time
		left        Units
	}
	var parts []part
	edges := []time.Time{j.at}
	for i := range j.Lots {
		l := &j.Lots[i]
		if l.Unit != unit || l.Frozen || l.Clawing || l.Available() == 0 {
			continue
		}
		parts = append(parts, part{latest(l.From, j.at), l.Until, l.Available()})
		edges = append(edges, l.Until)
		if l.From.After(j.at) {
			edges = append(edges, l.From)
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	edges = slices.CompactFunc(edges, time.Time.Equal)
	period := uint64(days) * uint64(24*time.Hour/time.Microsecond)
	// due is how many units are asked for from now until an instant.
	due := func(t time.Time) Units {
		hi, lo := bits.Mul64(uint64(units), uint64(t.Sub(j.at).Microseconds()))
		if hi >= period {
			return 1<<63 - 1
		}
		n, rest := bits.Div64(hi, lo, period)
		if rest > 0 {
			n++
		}
		return Units(min(n, 1<<63-1))
	}
	var spent Units
	for i := 1; i < len(edges); i++ {
		from, until := edges[i-1], edges[i]
		want := due(until) - spent
		for k := range parts {
			p := &parts[k]
			if want == 0 {
				break
			}
			if from.Before(p.from) || !from.Before(p.until) {
				continue
			}
			n := min(want, p.left)
			p.left, want, spent = p.left-n, want-n, spent+n
		}
		if want > 0 {
			// The instant at which one unit more than there was is asked for.
			hi, lo := bits.Mul64(uint64(spent), period)
			us, _ := bits.Div64(hi, lo, uint64(units))
			empty = latest(from, j.at.Add(time.Duration(us)*time.Microsecond))
			break
		}
	}
	for _, p := range parts {
		if empty.IsZero() || !p.until.After(empty) {
			unused += p.left // nobody asked for it while the lot ran
		}
	}
	return empty, unused
}
