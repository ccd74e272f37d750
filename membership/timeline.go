package membership

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/quota"
)

// A Segment is one bought term on a timeline, [From, Until).
type Segment struct {
	Order    string     `json:"order"`
	Item     ItemRef    `json:"item"`
	Term     quota.Term `json:"term"`
	From     time.Time  `json:"from"`
	Until    time.Time  `json:"until"`
	Anchor   int        `json:"anchor"` // the day of the month that the next term returns to
	Grants   []Feature  `json:"grants,omitempty"`
	Seats    *int       `json:"seats,omitempty"`
	FirstUse time.Time  `json:"first_use,omitzero"`
	Frozen   bool       `json:"frozen,omitempty"` // a refund is under way: grants nothing
	// Extra is time beyond Term: what earlier terms were worth ([Convert]), or all
	// of it where the length is that of a term replaced or moved.
	Extra time.Duration `json:"extra,omitzero"`
	Ran   time.Duration `json:"ran,omitzero"`  // how long it had run before it was moved ([Config].StackTerms)
	Into  string        `json:"into,omitzero"` // the order that ended it early
}

// end is when a segment ends that begins at an instant, and the anchor day then.
func (s Segment) end(from time.Time, anchor int) (end time.Time, next int, err error) {
	end, next = from, anchor
	if !s.Term.IsZero() || s.Extra == 0 {
		if end, next, err = s.Term.After(from, anchor); err != nil {
			return time.Time{}, 0, err
		}
	}
	if s.Extra > 0 {
		end, next = end.Add(s.Extra), 0 // the day of the month that comes of it
		if end.Year() > 9999 {
			return time.Time{}, 0, fmt.Errorf("%w: term", ErrOverflow)
		}
	}
	return end, next, nil
}

// A Lane is the timeline of one plan type: segments sorted and disjoint (M1).
// Lanes are independent of each other (H07).
type Lane struct {
	Type     PlanType  `json:"type"`
	Segments []Segment `json:"segments"`
}

// at returns the segment in force at an instant, -1 if none is.
func (l *Lane) at(t time.Time) int {
	return slices.IndexFunc(l.Segments, func(s Segment) bool { return !t.Before(s.From) && t.Before(s.Until) })
}

// End returns the end of the last segment, zero if there is none.
func (l *Lane) End() time.Time {
	if len(l.Segments) == 0 {
		return time.Time{}
	}
	return l.Segments[len(l.Segments)-1].Until
}

// after is the instant from which a term may begin that follows a timeline of
// another type: its end, or now.
func (m *Member) after(t PlanType, now time.Time) time.Time {
	lane := m.Lane(t)
	if end := lane.End(); t != "" && end.After(now) {
		return end
	}
	return now
}

// add appends a term at the later of now and the lane's end, so that an early
// renewal extends the old end (H54), on the chain's anchor day; after a lapse a
// new chain begins.
func (l *Lane) add(s Segment, now time.Time) error {
	s.From, s.Anchor = now, 0
	if end := l.End(); end.After(now) {
		s.From, s.Anchor = end, l.Segments[len(l.Segments)-1].Anchor
	}
	var err error
	if s.Until, s.Anchor, err = s.end(s.From, s.Anchor); err != nil {
		return err
	}
	l.Segments = append(l.Segments, s)
	return nil
}

// undo takes an order's segment out. Later terms move left and keep their
// lengths: to where the segment would have begun, or to now if it runs already.
func (l *Lane) undo(order string, now time.Time) error {
	i := slices.IndexFunc(l.Segments, func(s Segment) bool { return s.Order == order })
	if i < 0 {
		return nil
	}
	out := l.Segments[i]
	later := slices.Clone(l.Segments[i+1:])
	l.Segments = slices.Clone(l.Segments[:i])
	if !now.Before(out.Until) {
		l.Segments = append(l.Segments, later...) // over: nothing to close up
		return nil
	}
	start, anchor := now, 0
	if out.From.After(now) {
		start = out.From
		if i > 0 && l.Segments[i-1].Until.Equal(start) {
			anchor = l.Segments[i-1].Anchor
		}
	}
	for _, s := range later {
		var err error
		s.From = start
		if s.Until, s.Anchor, err = s.end(start, anchor); err != nil {
			return err
		}
		start, anchor = s.Until, s.Anchor
		l.Segments = append(l.Segments, s)
	}
	return nil
}

// cut ends a timeline now, in favour of an order: the segment that runs ends,
// those to come are gone.
func (l *Lane) cut(into string, now time.Time) {
	l.Segments = slices.DeleteFunc(l.Segments, func(s Segment) bool { return !s.From.Before(now) })
	if n := len(l.Segments); n > 0 && l.Segments[n-1].Until.After(now) {
		l.Segments[n-1].Until, l.Segments[n-1].Into = now, into
	}
}

// move has all terms to come begin at a later instant, one after the other. Of
// the one that runs the time left moves; what it ran stays counted.
func (l *Lane) move(start, now time.Time) error {
	anchor := 0
	for i := range l.Segments {
		s := &l.Segments[i]
		if !s.Until.After(now) {
			continue
		}
		if s.From.Before(now) {
			s.Ran += now.Sub(s.From)
			s.Term, s.Extra = quota.Term{}, s.Until.Sub(now)
		}
		s.From = start
		var err error
		if s.Until, s.Anchor, err = s.end(start, anchor); err != nil {
			return err
		}
		start, anchor = s.Until, s.Anchor
	}
	return nil
}
