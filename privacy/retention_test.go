package privacy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/privacy"
)

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04 -07:00", s+" +08:00")
	if err != nil {
		panic(err)
	}
	return t
}

func TestRetentionClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules []privacy.Rule
		f     privacy.Facts
		last  string
		from  time.Time
	}{
		{"T47 90 natural days, the day after is the first", []privacy.Rule{privacy.RuleService},
			privacy.Facts{ServiceEnd: at("2026-01-31 15:00")}, "2026-05-01", at("2026-05-02 00:00")},
		{"T47 the last minute of a day counts for that day", []privacy.Rule{privacy.RuleService},
			privacy.Facts{ServiceEnd: at("2026-01-31 23:59")}, "2026-05-01", at("2026-05-02 00:00")},
		{"T47 the day is Shanghai's, not UTC's", []privacy.Rule{privacy.RuleService},
			privacy.Facts{ServiceEnd: time.Date(2026, 1, 30, 16, 30, 0, 0, time.UTC)}, "2026-05-01", at("2026-05-02 00:00")},
		{"T49 five years from the latest certificate's end", []privacy.Rule{privacy.RuleAuthentication},
			privacy.Facts{Certificates: []time.Time{at("2026-06-01 10:00"), at("2027-06-01 10:00"), at("2025-01-01 00:00")}, LastUse: at("2030-01-01 00:00")},
			"2032-06-01", at("2032-06-02 00:00")},
		{"T49 29 February becomes 28 February", []privacy.Rule{privacy.RuleAuthentication},
			privacy.Facts{Certificates: []time.Time{at("2028-02-29 12:00")}}, "2033-02-28", at("2033-03-01 00:00")},
		{"T49 without certificate, last use", []privacy.Rule{privacy.RuleAuthentication},
			privacy.Facts{LastUse: at("2026-03-01 00:00")}, "2031-03-01", at("2031-03-02 00:00")},
		{"T32 cooling-off of seven days", []privacy.Rule{privacy.RuleCancelled},
			privacy.Facts{Cancelled: at("2026-12-28 09:00")}, "2027-01-04", at("2027-01-05 00:00")},
		{"P16 the longest wins", []privacy.Rule{privacy.RuleService, privacy.RuleAuthentication, privacy.RuleContract},
			privacy.Facts{ServiceEnd: at("2026-01-31 15:00"), LastUse: at("2020-01-01 00:00"), ContractUntil: privacy.Date{Year: 2026, Month: 12, Day: 31}},
			"2026-12-31", at("2027-01-01 00:00")},
	} {
		from, bases := privacy.Earliest(c.rules, c.f)
		assert.True(t, c.from.Equal(from), "%s: %s", c.name, from)
		last := ""
		for _, b := range bases {
			last = max(last, b.Last.String())
		}
		assert.Equal(t, c.last, last, c.name)
	}
	from, bases := privacy.Earliest([]privacy.Rule{privacy.RuleService, privacy.RuleContract}, privacy.Facts{LastUse: at("2026-01-01 00:00")})
	assert.True(t, from.IsZero(), "P16 nothing keeps it")
	assert.Empty(t, bases)
}

func TestP21Age(t *testing.T) {
	t.Parallel()
	d := func(y int, m time.Month, day int) privacy.Date { return privacy.Date{Year: y, Month: m, Day: day} }
	for _, c := range []struct {
		name  string
		birth privacy.Date
		on    time.Time
		p     privacy.AgePolicy
		minor bool
	}{
		{"on the birthday: refused", d(2008, 11, 20), at("2026-11-20 23:59"), privacy.AgePolicy{}, true},
		{"the day after: accepted", d(2008, 11, 20), at("2026-11-21 00:00"), privacy.AgePolicy{}, false},
		{"29 February counts as 1 March", d(2008, 2, 29), at("2026-03-01 12:00"), privacy.AgePolicy{}, true},
		{"and is over the day after", d(2008, 2, 29), at("2026-03-02 00:00"), privacy.AgePolicy{}, false},
		{"in a leap year it is itself", d(2008, 2, 29), at("2028-03-01 00:00"), privacy.AgePolicy{Minimum: 20}, false},
		{"the day is Shanghai's", d(2008, 11, 20), time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC), privacy.AgePolicy{}, false},
		{"H04 a guardian needs the policy", d(2015, 1, 1), at("2026-01-01 00:00"), privacy.AgePolicy{Guardian: true}, true},
		{"H04 and a record", d(2015, 1, 1), at("2026-01-01 00:00"), privacy.AgePolicy{Guardians: true}, true},
		{"H04 with both", d(2015, 1, 1), at("2026-01-01 00:00"), privacy.AgePolicy{Guardians: true, Guardian: true}, false},
		{"not born yet", d(2030, 1, 1), at("2026-01-01 00:00"), privacy.AgePolicy{}, true},
	} {
		err := privacy.CheckAge(c.birth, c.on, c.p)
		if c.minor {
			assert.ErrorIs(t, err, privacy.ErrMinor, c.name)
		} else {
			assert.NoError(t, err, c.name)
		}
	}
	assert.ErrorIs(t, privacy.CheckAge(d(2008, 2, 30), at("2026-01-01 00:00"), privacy.AgePolicy{}), privacy.ErrInvalid)
	assert.ErrorIs(t, privacy.CheckAge(privacy.Date{}, at("2026-01-01 00:00"), privacy.AgePolicy{}), privacy.ErrInvalid)
}

// Once of age, of age for ever; and the clock never answers two days.
func TestAgeIsMonotonic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		birth := privacy.DateOf(time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "birth"), 0))
		on := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "on"), 0)
		later := on.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "later")) * time.Second)
		if privacy.CheckAge(birth, on, privacy.AgePolicy{}) == nil {
			assert.NoError(t, privacy.CheckAge(birth, later, privacy.AgePolicy{}))
		}
		assert.True(t, birth.Valid())
	})
}
