package quota

import (
	"fmt"
	"time"
)

// zone is the wall clock of every calendar rule: Asia/Shanghai has had no
// daylight saving time since 1991, so a fixed offset serves and no time zone
// database is needed.
var zone = time.FixedZone("+08:00", 8*60*60)

// A Term is a length on the calendar: packages last one or three years (H13,
// H44), memberships months or years. Years and Months move along the calendar,
// Days are 24 hours each. The zero Term is no length and valid nowhere.
type Term struct {
	Years  int `json:"years,omitempty"`
	Months int `json:"months,omitempty"`
	Days   int `json:"days,omitempty"`
}

// maxTerm bounds each field of a Term; a term that leaves year 9999 fails anyway.
const maxTerm = 1 << 22

// IsZero reports whether t has no length.
func (t Term) IsZero() bool { return t == Term{} }

// String renders t as an ISO 8601 duration, such as P1Y or P3M10D.
func (t Term) String() string {
	if t.IsZero() {
		return "P0D"
	}
	s := "P"
	for _, p := range []struct {
		n int
		u string
	}{{t.Years, "Y"}, {t.Months, "M"}, {t.Days, "D"}} {
		if p.n != 0 {
			s += fmt.Sprintf("%d%s", p.n, p.u)
		}
	}
	return s
}

// After returns the end of a term that starts at from, and the anchor for a
// term that follows it. The wall clock is that of Asia/Shanghai, the result is
// UTC. Years and months keep the time of day and the anchor day, which is the
// day of the month on which the chain began; a month too short for it ends on
// its last day, and the next one returns to the anchor. Anchor 0 means the day of
// from. Days are added last and, where there are any, their result is the new
// anchor.
//
// It fails with [ErrRequest] when t is zero or negative, or anchor is no day of
// a month, and with [ErrOverflow] when the end lies beyond the year 9999.
func (t Term) After(from time.Time, anchor int) (end time.Time, next int, err error) {
	switch {
	case t.IsZero(), t.Years < 0, t.Months < 0, t.Days < 0:
		return time.Time{}, 0, badRequest("term", "must be positive")
	case anchor < 0, anchor > 31:
		return time.Time{}, 0, badRequest("anchor", "must be a day of a month")
	case t.Years > maxTerm, t.Months > maxTerm, t.Days > maxTerm:
		return time.Time{}, 0, overflow("term")
	}
	local := instant(from).In(zone)
	year, month, day := local.Date()
	if anchor == 0 {
		anchor = day
	}
	end = local
	if months := t.Years*12 + t.Months; months > 0 {
		m := int(month) - 1 + months
		year, month = year+m/12, time.Month(m%12+1)
		day = min(anchor, daysIn(year, month))
		end = time.Date(year, month, day, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), zone)
	}
	if t.Days > 0 {
		end = time.Unix(end.Unix()+int64(t.Days)*86400, int64(end.Nanosecond())).In(zone)
		anchor = end.Day()
	}
	if end.Year() > 9999 || end.UTC().Year() > 9999 {
		return time.Time{}, 0, overflow("term")
	}
	return end.UTC(), anchor, nil
}

// daysIn returns the number of days of a month of the Gregorian calendar.
func daysIn(year int, month time.Month) int {
	switch month {
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	}
	return 31
}

// SevenDays is the default refund window (H58, D11): it returns the instant
// until which a purchase made at paid may be returned, which is the end of the
// seventh calendar day after the day of purchase in Asia/Shanghai (Civil Code,
// articles 201 and 203). Windows are half-open: at that instant it is too late.
func SevenDays(paid time.Time) time.Time {
	y, m, d := paid.In(zone).Date()
	// time.Date normalises the day into the next month, which is meant here.
	return time.Date(y, m, d+8, 0, 0, 0, 0, zone).UTC()
}

// Hours168 is the optional refund window of exactly seven times 24 hours (D11).
func Hours168(paid time.Time) time.Time { return instant(paid.Add(168 * time.Hour)) }

// instant brings a time to the form in which all times are stored and compared:
// UTC, whole microseconds.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// dayOf numbers the days of Asia/Shanghai, day 0 being 1970-01-01.
func dayOf(t time.Time) int64 {
	sec := t.Unix() + 8*60*60
	day := sec / 86400
	if sec%86400 < 0 {
		day--
	}
	return day
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
