package quota

import (
	"maps"
	"slices"
	"time"
)

// A Rate is what one line of a kind costs.
type Rate struct {
	Unit  Unit
	Units Units // 0 is a price: the line is free and says so
}

// A RateVersion is a tariff from an instant on. Versions are announced and then
// take effect (D18); what was held before keeps its price.
type RateVersion struct {
	Version   int       // rises with From; kept on every hold that it priced
	Announced time.Time // for the host's notices; decides nothing
	From      time.Time // in force from here until the next version's From
	Kinds     map[ChargeKind]Rate
}

// Rates is a dated list of tariffs, oldest first.
type Rates []RateVersion

// DefaultRates is the tariff of the agreements: an ordinary file costs one unit
// per signer (H45), a real-name file two (H42, H46), a check, message or report
// one of its own unit (D14, D15).
func DefaultRates() Rates {
	return Rates{{Version: 1, Kinds: map[ChargeKind]Rate{
		KindOrdinary:       {UnitSign, 1},
		KindRealNamePerson: {UnitSign, 2},
		KindRealNameOrg:    {UnitSign, 2},
		KindPersonCheck:    {UnitPersonCheck, 1},
		KindOrgCheck:       {UnitOrgCheck, 1},
		KindSMS:            {UnitSMS, 1},
		KindSMSIntl:        {UnitSMSIntl, 1},
		KindVoice:          {UnitVoice, 1},
		KindReport:         {UnitReport, 1},
	}}}
}

// At returns the tariff in force at an instant; ok is false before the first.
func (r Rates) At(at time.Time) (v RateVersion, ok bool) {
	if t := r.at(at); t != nil {
		return *t, true
	}
	return RateVersion{}, false
}

func (r Rates) at(at time.Time) *RateVersion {
	for i := len(r) - 1; i >= 0; i-- {
		if !at.Before(r[i].From) {
			return &r[i]
		}
	}
	return nil
}

func (r Rates) check() error {
	for i, v := range r {
		if i > 0 && (!v.From.After(r[i-1].From) || v.Version <= r[i-1].Version) {
			return badRequest("rates", "versions must rise in number and date")
		}
		for kind, rate := range v.Kinds {
			if kind == "" || rate.Unit == "" || rate.Units < 0 {
				return badRequest("rates", "a kind needs a unit and a weight of 0 or more")
			}
		}
	}
	return nil
}

// copyRates keeps a host's later writes to its maps out of the ledger.
func copyRates(r Rates) Rates {
	out := slices.Clone(r)
	for i := range out {
		out[i].From = instant(out[i].From)
		out[i].Kinds = maps.Clone(out[i].Kinds)
	}
	return out
}

// A Cause says why a line ends without a signature.
type Cause string

// Causes of a release.
const (
	Revoked       Cause = "revoked"        // the sender voided the envelope (撤销)
	Closed        Cause = "closed"         // the sender ended collection (关闭)
	Removed       Cause = "removed"        // the signer was taken off (D08)
	Satisfied     Cause = "satisfied"      // others met the stage (D20)
	Declined      Cause = "declined"       // the signer refused (D03)
	Expired       Cause = "expired"        // the envelope's time ran out (D03)
	Invalidated   Cause = "invalidated"    // a party's identity changed (D23)
	NotStarted    Cause = "not_started"    // refused or recalled before anything went out (D23)
	ProviderFault Cause = "provider_fault" // the service failed, not the customer
)

func (c Cause) known() bool {
	switch c {
	case Revoked, Closed, Removed, Satisfied, Declined, Expired, Invalidated, NotStarted, ProviderFault:
		return true
	}
	return false
}

// A Verdict says what becomes of a line's units.
type Verdict string

// Verdicts.
const (
	Release Verdict = "release" // back to their lots
	Forfeit Verdict = "forfeit" // used, though nobody signed
)

// DefaultSettle is the rule of the agreements. When an envelope is revoked or
// closed, a signer removed or a stage met by others (D02, D20), a line returns
// its units unless a channel such as SMS, whose units never return, was ever
// used for it (H17, H18): [Line].Sticky says so. Refusal, expiry and
// invalidation return nothing (D03, D23). What never started and what the
// provider failed to do comes back.
func DefaultSettle(line Line, cause Cause) Verdict {
	switch cause {
	case NotStarted, ProviderFault:
		return Release
	case Revoked, Closed, Removed, Satisfied:
		if !line.Sticky {
			return Release
		}
	}
	return Forfeit
}

// ExpireAtOnce is the default of [Config].OnExpired: units returned to a lot
// whose window has passed expire at once (D04, H15).
func ExpireAtOnce(Lot, []Lot, time.Time) time.Time { return time.Time{} }

// Grace returns an [Config].OnExpired rule that keeps units returned to an
// ended lot spendable for d after their return.
func Grace(d time.Duration) func(Lot, []Lot, time.Time) time.Time {
	return func(_ Lot, _ []Lot, at time.Time) time.Time { return at.Add(d) }
}

// CreditCurrent is an [Config].OnExpired rule that keeps units returned to an
// ended lot as long as the longest-lived lot of the same unit runs, and lets
// them expire if there is none.
func CreditCurrent(ended Lot, live []Lot, at time.Time) time.Time {
	var until time.Time
	for _, l := range live {
		if l.Unit == ended.Unit && !at.Before(l.From) && at.Before(l.Until) && l.Until.After(until) {
			until = l.Until
		}
	}
	return until
}

// Rate returns what one line of a kind costs at an instant; ok is false if no
// tariff knows it.
func (l *Ledger) Rate(kind ChargeKind, at time.Time) (r Rate, ok bool) {
	v, ok := l.cfg.Rates.At(at)
	if !ok {
		return Rate{}, false
	}
	r, ok = v.Kinds[kind]
	return r, ok
}
