package esign

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// TestTable compares the transition tables, rendered for a reader, with the
// reviewed copy.
func TestTable(t *testing.T) {
	got := renderTables()
	golden := filepath.Join("testdata", "machine.md")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// TestTableIsComplete: each id of the two tables has a rule, each command
// too, and each rule can be told from those after it.
func TestTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range slices.Concat(envelopeRules, rowRules) {
		seen[r.id] = true
		assert.NotEmpty(t, r.who, r.id)
		assert.NotEmpty(t, r.op, r.id)
	}
	for _, id := range strings.Fields("E1 E2 E3 E4 E5 E6 E7 E8 E9 E10 E11 E12 E13 E14 E15 E16 E17 E18 E19 E20 E21 " +
		"R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 R13 R14 R15 R16 R17 R18 R19 R20 R21 R22") {
		assert.True(t, seen[id], "no rule for %s", id)
	}
	for _, op := range ops {
		assert.True(t, op == OpSweep || envelopeTable[op] != nil || rowTable[op] != nil, "no rule for %s", op)
	}
	for _, r := range rowRules {
		assert.NotNil(t, r.from, r.id)
		if r.in == nil {
			assert.True(t, envelopeTable[r.op] != nil, "%s: %s needs states of the envelope", r.id, r.op)
		}
	}
	for _, r := range envelopeRules {
		assert.NotNil(t, r.in, r.id)
		assert.Nil(t, r.from, r.id)
		assert.Empty(t, r.row, r.id)
	}
}

func renderTables() string {
	var b strings.Builder
	b.WriteString("# The transition tables of package esign\n\n" +
		"Rendered from the rules by TestTable (`go test ./esign -run TestTable -update`). Several lines under one id\n" +
		"are alternatives: the first that applies is fired. `settle` follows by itself, `deadline` when an instant\n" +
		"comes; a command marked * is not offered by the service yet. Whatever reaches a terminal state also seals the\n" +
		"evidence chain and, if it releases another envelope, moves that one's release axis.\n\n## Envelope\n\n")
	header(&b, "from", "to")
	for _, r := range envelopeRules {
		line(&b, r, words(r.in), string(r.to))
	}
	b.WriteString("\n## Recipient\n\n")
	header(&b, "from", "to")
	for _, r := range rowRules {
		from := words(r.from)
		if slices.Equal(r.from, live) {
			from = "live"
		}
		if slices.Equal(r.from, liveOrExpired) {
			from = "live, expired"
		}
		if len(r.in) > 0 {
			from += " (envelope " + words(r.in) + ")"
		}
		line(&b, r, from, string(r.row))
	}
	return b.String()
}

func header(b *strings.Builder, from, to string) {
	b.WriteString("| |" + from + "|command (who)|if|guard|does|" + to + "|units|event|tells|\n|" + strings.Repeat("---|", 10) + "\n")
}

func line(b *strings.Builder, r rule, from, to string) {
	if from == "" {
		from = "-"
	}
	if to == "" {
		to = "same"
	}
	op := string(r.op)
	if slices.Contains(later, r.op) {
		op += "*"
	}
	cells := []string{r.id, from, op + " (" + words(r.who) + ")",
		texts(r.when, func(c cond) string { return c.text }),
		texts(r.guard, func(g guard) string { return g.text }),
		texts(r.do, func(a act) string { return a.text }), to,
		texts(r.units, func(a act) string { return a.text }),
		texts(r.event, func(s string) string { return s }),
		texts(r.tells, func(t tell) string { return t.text })}
	b.WriteString("|" + strings.Join(cells, "|") + "|\n")
}

func words[T ~string](list []T) string {
	return texts(list, func(v T) string { return string(v) })
}

func texts[T any](list []T, text func(T) string) string {
	var out []string
	for _, v := range list {
		if s := text(v); s != "" {
			out = append(out, s)
		}
	}
	return strings.Join(out, ", ")
}

// TestReadsDoNotWaitForSweeps: what a reader sees at an instant is what a sweep
// would have booked by then (invariant 10).
func TestReadsDoNotWaitForSweeps(t *testing.T) {
	end := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	e := Envelope{Tenant: "acme", ID: "nda", State: StateInProgress, Deadline: end, SentAt: end.Add(-time.Hour),
		Recipients: []Recipient{{ID: "li", Role: RolePerson, Order: 1, State: RecipientNotified}}}
	assert.Equal(t, StateInProgress, e.asOf(end.Add(-time.Microsecond)).State)
	late := e.asOf(end.Add(time.Hour))
	assert.Equal(t, StateExpired, late.State)
	assert.Equal(t, end, late.EndedAt)
	assert.Equal(t, RecipientExpired, late.Recipients[0].State)
	assert.Equal(t, StateInProgress, e.State)
}
