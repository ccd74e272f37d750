package mutants_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packages are those whose rules are changed, and the files that hold them.
var packages = []struct {
	dir   string
	files []string
}{
	{"quota", []string{
		"order.go", "types.go", "books.go", "policy.go", "calendar.go", "engine.go", "settle.go", "reserve.go", "refund.go", "grant.go",
		"account.go", "alert.go", "forecast.go", "read.go", "statement.go",
	}},
	{"membership", []string{
		"money.go", "timeline.go", "catalogue.go", "check.go", "order.go", "pay.go", "refund.go", "upgrade.go", "status.go",
		"link.go", "remind.go", "member.go", "claw.go",
	}},
}

// TestMutants changes burn order, windows, rounding, settling and refunds, one
// rule at a time, and lists what no test notices.
func TestMutants(t *testing.T) {
	if os.Getenv("COUNTERSIGN_MUTANTS") == "" {
		t.Skip("set COUNTERSIGN_MUTANTS=1; takes a quarter of an hour")
	}
	for _, p := range packages {
		dir, only, some := strings.Cut(os.Getenv("COUNTERSIGN_MUTANTS"), "/")
		if dir != "1" && dir != p.dir {
			continue
		}
		if some {
			p.files = strings.Split(only, ",")
		}
		t.Run(p.dir, func(t *testing.T) { hunt(t, p.dir, p.files) })
	}
}

// TestExplained finds explanations of changes that the sources do not allow any more.
func TestExplained(t *testing.T) {
	for _, p := range packages {
		t.Run(p.dir, func(t *testing.T) {
			_, mutants, _ := rewrite(t, filepath.Join("..", "..", p.dir), p.files)
			there := map[string]bool{}
			for _, m := range mutants {
				there[m.String()] = true
			}
			for m, why := range explained(t, filepath.Join("testdata", p.dir+".txt")) {
				assert.True(t, there[m], "explained, but not there: %s", m)
				assert.NotEmpty(t, why, "without a reason: %s", m)
			}
		})
	}
}

func hunt(t *testing.T, name string, files []string) {
	dir, err := filepath.Abs(filepath.Join("..", "..", name))
	require.NoError(t, err)
	rewritten, mutants, guards := rewrite(t, dir, files)
	bin := filepath.Join(t.TempDir(), name+".test")
	out, err := exec.Command("go", "test", "-c", "-overlay", write(t, dir, rewritten), "-o", bin, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	// Few checks find most; what they leave must get past the slow tests and the
	// models. One test reads the sources, which are not what runs.
	const slow = "^TestModel|^TestImport_goes_on|^TestLots_limits|^TestAsOf_checkpoints|^TestSimulation"
	runs := [][]string{
		{"-test.skip=" + slow + "|^TestNoAddDate", "-rapid.checks=30"},
		{"-test.run=" + slow, "-rapid.checks=100", "-rapid.steps=40"},
	}
	for _, args := range runs {
		require.True(t, green(t, bin, dir, 0, args), "the tests pass as they are")
	}
	known := explained(t, filepath.Join("testdata", name+".txt"))
	if again := os.Getenv("COUNTERSIGN_MUTANTS_AGAIN"); again != "" {
		listed := explained(t, again)
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool { _, ok := listed[m.String()]; return !ok })
	}
	var alive []mutant
	byClass := map[string][2]int{}
	for _, m := range mutants {
		n := byClass[m.class]
		n[0]++
		if slices.ContainsFunc(runs, func(args []string) bool { return !green(t, bin, dir, m.id, args) }) {
			n[1]++
		} else {
			alive = append(alive, m)
			t.Logf("survives: %s (line %d)", m, m.line)
		}
		byClass[m.class] = n
	}
	t.Logf("%s: %d mutants, %d killed, %d survive; %d guards against corrupt stores left alone", name, len(mutants), len(mutants)-len(alive), len(alive), guards)
	for class, n := range byClass {
		t.Logf("  %s: %d of %d killed", class, n[1], n[0])
	}
	noticed := map[string]bool{}
	for _, m := range mutants {
		noticed[m.String()] = true
	}
	for _, m := range alive {
		noticed[m.String()] = false
		assert.NotEmpty(t, known[m.String()], "survives unexplained: %s (line %d)", m, m.line)
	}
	for m := range known {
		if noticed[m] { // by luck, or the explanation is wrong
			t.Logf("explained, yet noticed: %s", m)
		}
	}
}

// green runs a package's tests with a mutant switched on.
func green(t *testing.T, bin, dir string, id int, args []string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(args, "-test.failfast", "-rapid.nofailfile", "-rapid.shrinktime=1ms", "-test.timeout=2m")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "COUNTERSIGN_MUTANT="+strconv.Itoa(id))
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return err == nil
}

// explained reads why some mutants cannot be noticed: lines of a mutant, a tab
// and a reason.
func explained(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m, why, _ := strings.Cut(lines.Text(), "\t")
		out[m] = why
	}
	return out
}
