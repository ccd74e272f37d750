package privacy

import (
	"fmt"
	"time"
)

// Legal days are days of Asia/Shanghai, which has had one offset since 1991;
// a fixed zone needs no time zone database.
var shanghai = time.FixedZone("+08:00", 8*60*60)

// A Date is a calendar day.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day of t in Asia/Shanghai.
func DateOf(t time.Time) Date {
	y, m, d := t.In(shanghai).Date()
	return Date{y, m, d}
}

// Valid reports whether the calendar has d.
func (d Date) Valid() bool { return d.Year > 0 && d == DateOf(d.start()) }

// String is YYYY-MM-DD.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

func (d Date) start() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, shanghai) }

func (d Date) addDays(n int) Date {
	return DateOf(time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, shanghai))
}

// addYears moves 29 February to 28 February where the year has none.
func (d Date) addYears(n int) Date {
	d.Year += n
	if d.Month == time.February && d.Day == 29 && !d.Valid() {
		d.Day = 28
	}
	return d
}

// A Rule is one reason to keep data for a time.
type Rule string

const (
	// RuleService keeps everything 90 natural days after the service ended
	// (T47); the day after the end is the first.
	RuleService Rule = "service"
	// RuleAuthentication keeps authentication data 5 years after the last
	// certificate used with it ends, or after the last use if there was none
	// (T49; E-signature law §24).
	RuleAuthentication Rule = "authentication"
	// RuleCancelled keeps the profile of a cancelled account for the 7 days in
	// which the person may think again (T32).
	RuleCancelled Rule = "cancelled"
	// RuleContract keeps until a day that a contract or a law of its own names.
	RuleContract Rule = "contract"
)

// Facts are what the rules look at; a zero time is a thing that did not happen.
type Facts struct {
	ServiceEnd    time.Time
	Certificates  []time.Time // NotAfter of every certificate used
	LastUse       time.Time
	Cancelled     time.Time
	ContractUntil Date // last day kept
}

// A Basis is what one rule made of the facts.
type Basis struct {
	Rule Rule
	Last Date      // last day kept
	From time.Time // earliest erasure, 00:00 +08:00 of the next day, in UTC
}

// Earliest answers from which instant data may be erased: the longest of the
// rules that apply, with all of them. With none, the time is zero: nothing
// keeps the data (P16). Sweeps only carry the answer out; running them late or
// never does not change it.
func Earliest(rules []Rule, f Facts) (time.Time, []Basis) {
	var out []Basis
	var from time.Time
	for _, r := range rules {
		last, ok := r.last(f)
		if !ok {
			continue
		}
		b := Basis{Rule: r, Last: last, From: last.addDays(1).start().UTC()}
		out = append(out, b)
		if b.From.After(from) {
			from = b.From
		}
	}
	return from, out
}

func (r Rule) last(f Facts) (Date, bool) {
	switch r {
	case RuleService:
		return DateOf(f.ServiceEnd).addDays(90), !f.ServiceEnd.IsZero()
	case RuleAuthentication:
		from := f.LastUse
		if len(f.Certificates) > 0 {
			from = f.Certificates[0]
			for _, t := range f.Certificates[1:] {
				if t.After(from) {
					from = t
				}
			}
		}
		return DateOf(from).addYears(5), !from.IsZero()
	case RuleCancelled:
		return DateOf(f.Cancelled).addDays(7), !f.Cancelled.IsZero()
	case RuleContract:
		return f.ContractUntil, f.ContractUntil.Valid()
	}
	return Date{}, false
}

// AgePolicy is a tenant's rule on minors (D12). The zero value asks for 18
// years and knows no guardians.
type AgePolicy struct {
	Minimum   int  // years; 0 is 18
	Guardians bool // a guardian's record may stand in for age
	Guardian  bool // this person has one on record
}

// CheckAge refuses with [ErrMinor] who is under age on the day of on. A person
// is of age from the day after the birthday; one born on 29 February has it on
// 1 March in a common year (Civil Code §17, §201). Call it before anything is
// stored or sent (P21, H04).
func CheckAge(birth Date, on time.Time, p AgePolicy) error {
	if !birth.Valid() {
		return fmt.Errorf("%w: birth date", ErrInvalid)
	}
	years := p.Minimum
	if years == 0 {
		years = 18
	}
	if years < 0 {
		return fmt.Errorf("%w: age policy", ErrInvalid)
	}
	// time.Date turns 29 February of a common year into 1 March.
	day := DateOf(time.Date(birth.Year+years, birth.Month, birth.Day, 0, 0, 0, 0, shanghai))
	if !DateOf(on).start().After(day.start()) && !(p.Guardians && p.Guardian) {
		return ErrMinor
	}
	return nil
}
