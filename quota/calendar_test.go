package quota_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
)

var shanghai = time.FixedZone("+08:00", 8*60*60)

func local(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, shanghai)
	if err != nil {
		panic(err)
	}
	return t
}

// TestTerm_H13_H44_calendar is a table of ends across short months and leap years.
func TestTerm_H13_H44_calendar(t *testing.T) {
	for _, c := range []struct {
		name, start string
		term        quota.Term
		anchor      int
		end         string
		next        int
	}{
		{"leap day, one year", "2028-02-29 10:00", quota.Term{Years: 1}, 29, "2029-02-28 10:00", 29},
		{"leap day, three years", "2028-02-29 10:00", quota.Term{Years: 3}, 29, "2031-02-28 10:00", 29},
		{"leap day, four years", "2028-02-29 10:00", quota.Term{Years: 4}, 29, "2032-02-29 10:00", 29},
		{"month end is clamped", "2026-01-31 00:30", quota.Term{Months: 1}, 31, "2026-02-28 00:30", 31},
		{"and the anchor day returns", "2026-02-28 00:30", quota.Term{Months: 1}, 31, "2026-03-31 00:30", 31},
		{"local day differs from UTC day", "2027-03-01 02:00", quota.Term{Years: 1}, 0, "2028-03-01 02:00", 1},
		{"across the year", "2026-11-30 23:59", quota.Term{Months: 3}, 0, "2027-02-28 23:59", 30},
		{"thirteen months", "2026-12-31 08:00", quota.Term{Months: 14}, 0, "2028-02-29 08:00", 31},
		{"days come last and set the anchor", "2026-01-31 00:30", quota.Term{Months: 1, Days: 3}, 0, "2026-03-03 00:30", 3},
		{"many days", "2026-01-01 00:00", quota.Term{Days: 200000}, 0, "2573-08-01 00:00", 1},
		{"century without leap day", "2096-02-29 00:00", quota.Term{Years: 4}, 0, "2100-02-28 00:00", 29},
	} {
		t.Run(c.name, func(t *testing.T) {
			end, next, err := c.term.After(local(c.start), c.anchor)
			require.NoError(t, err)
			assert.Equal(t, local(c.end).UTC(), end)
			assert.Equal(t, time.UTC, end.Location())
			assert.Equal(t, c.next, next)
		})
	}
	end, _, err := quota.Term{Years: 1}.After(time.Date(2027, 2, 28, 18, 0, 0, 0, time.UTC), 0)
	require.NoError(t, err)
	assert.Equal(t, time.Date(2028, 2, 29, 18, 0, 0, 0, time.UTC), end)
}

func TestTerm_bounds(t *testing.T) {
	start := local("2026-01-31 00:30")
	for _, term := range []quota.Term{{}, {Years: -1}, {Years: 1, Days: -1}} {
		_, _, err := term.After(start, 0)
		require.ErrorIs(t, err, quota.ErrRequest)
	}
	_, _, err := quota.Term{Years: 1}.After(start, 32)
	require.ErrorIs(t, err, quota.ErrRequest)
	for _, term := range []quota.Term{{Years: 7974}, {Years: 1 << 40}, {Months: 1 << 20}, {Days: 1<<22 + 1}, {Days: 2914000}} {
		_, _, err := term.After(start, 0)
		require.ErrorIs(t, err, quota.ErrOverflow, "%v", term)
	}
	end, _, err := quota.Term{Years: 7973}.After(start, 0)
	require.NoError(t, err)
	assert.Equal(t, 9999, end.Year())
	assert.Equal(t, "P1Y2M3D", quota.Term{Years: 1, Months: 2, Days: 3}.String())
	assert.Equal(t, "P0D", quota.Term{}.String())
}

// TestTerm_M10 says that two terms are one of the sum, unless a month was too short.
func TestTerm_M10_two_terms_are_their_sum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "start"))
		a := quota.Term{Years: rapid.IntRange(0, 5).Draw(t, "y1"), Months: rapid.IntRange(1, 30).Draw(t, "m1")}
		b := quota.Term{Years: rapid.IntRange(0, 5).Draw(t, "y2"), Months: rapid.IntRange(1, 30).Draw(t, "m2")}
		mid, anchor, err := a.After(start, 0)
		require.NoError(t, err)
		two, _, err := b.After(mid, anchor)
		require.NoError(t, err)
		one, _, err := quota.Term{Years: a.Years + b.Years, Months: a.Months + b.Months}.After(start, 0)
		require.NoError(t, err)
		// With the anchor kept not even clamping loses a day.
		require.Equal(t, one, two)
		require.True(t, mid.After(start) && two.After(mid))
	})
}

func TestSevenDays_H58_D11(t *testing.T) {
	for paid, until := range map[string]string{
		"2027-03-01 00:00": "2027-03-09 00:00", // the day of purchase is excluded, the seventh counts whole
		"2027-03-01 23:59": "2027-03-09 00:00",
		"2027-02-26 12:00": "2027-03-06 00:00",
		"2027-12-28 12:00": "2028-01-05 00:00",
	} {
		assert.Equal(t, local(until).UTC(), quota.SevenDays(local(paid)), paid)
	}
	assert.Equal(t, local("2027-03-08 23:59").UTC(), quota.Hours168(local("2027-03-01 23:59")))
}

// TestNoAddDate keeps AddDate out of production code: it overflows short months
// instead of ending on their last day.
func TestNoAddDate(t *testing.T) {
	for _, dir := range []string{".", "../membership"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			require.NoError(t, err)
			file, err := parser.ParseFile(gotoken.NewFileSet(), name, src, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					assert.NotEqual(t, "AddDate", sel.Sel.Name, name)
				}
				return true
			})
		}
	}
}
