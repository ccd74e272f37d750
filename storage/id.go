package storage

import (
	"fmt"
	"strings"
	"time"
)

// JoinID makes one id of parts, at least one: "/" lies between them, and "%"
// and "/" within them become "%25" and "%2F". Different parts never give the
// same id, and ids that share leading parts share a prefix: see [JoinPrefix].
func JoinID(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('/')
		}
		escape(&b, p)
	}
	return b.String()
}

// JoinPrefix is the prefix, ending in "/", of all ids that [JoinID] makes of
// these parts and at least one more. Without parts it is empty.
func JoinPrefix(parts ...string) string {
	if len(parts) == 0 {
		return ""
	}
	return JoinID(parts...) + "/"
}

// SplitID returns the parts that [JoinID] made id of. It returns [ErrKey] if
// JoinID cannot have made it.
func SplitID(id string) ([]string, error) {
	parts := strings.Split(id, "/")
	for i, p := range parts {
		if strings.IndexByte(p, '%') < 0 {
			continue
		}
		var b strings.Builder
		for len(p) > 0 {
			switch {
			case strings.HasPrefix(p, "%25"):
				b.WriteByte('%')
				p = p[3:]
			case strings.HasPrefix(p, "%2F"):
				b.WriteByte('/')
				p = p[3:]
			case p[0] == '%':
				return nil, fmt.Errorf("%w: bad escape in a joined id", ErrKey)
			default:
				b.WriteByte(p[0])
				p = p[1:]
			}
		}
		parts[i] = b.String()
	}
	return parts, nil
}

func escape(b *strings.Builder, s string) {
	for {
		i := strings.IndexAny(s, "%/")
		if i < 0 {
			b.WriteString(s)
			return
		}
		b.WriteString(s[:i])
		if s[i] == '%' {
			b.WriteString("%25")
		} else {
			b.WriteString("%2F")
		}
		s = s[i+1:]
	}
}

// OldestFirst returns 16 hexadecimal digits for an instant, to the microsecond,
// as part of an id: List gives earlier ones first. Instants before 1970 count
// as 1970.
func OldestFirst(t time.Time) string { return fmt.Sprintf("%016x", DueMicros(t)) }

// NewestFirst is like [OldestFirst], but List gives later instants first.
func NewestFirst(t time.Time) string { return fmt.Sprintf("%016x", maxDue-DueMicros(t)) }
