package identity_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/esign/identity"
)

var (
	allLevels    = []identity.Level{identity.I0, identity.I1, identity.I2, identity.I3, identity.I4}
	allStrengths = []identity.Strength{identity.W0, identity.W1, identity.W2, identity.W3}
	noon         = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// TestEvaluateTable is all 5 x 4 pairs against all 5 x 4 requirements (T14).
func TestEvaluateTable(t *testing.T) {
	for _, needL := range allLevels {
		for _, needW := range allStrengths {
			q := identity.Requirement{MinIdentity: needL, MinIntent: needW}
			require.NoError(t, q.Validate())
			for _, l := range allLevels {
				for _, w := range allStrengths {
					have := []identity.Result{
						{Outcome: identity.Match, Level: l, At: noon},
						{Outcome: identity.Match, Strength: w, At: noon},
					}
					got := identity.Evaluate(q, have, noon)
					switch {
					case l < needL: // the constants sort as they rank
						assert.Equal(t, identity.StepUp, got.Verdict)
						assert.Equal(t, identity.IdentityAxis, got.Axis)
						assert.NotEmpty(t, got.Methods)
					case w < needW:
						assert.Equal(t, identity.StepUp, got.Verdict)
						assert.Equal(t, identity.IntentAxis, got.Axis)
						assert.NotEmpty(t, got.Methods)
					default:
						assert.Equal(t, identity.Decision{Verdict: identity.Satisfied}, got)
					}
				}
			}
		}
	}
}

func TestEvaluate(t *testing.T) {
	sign := identity.RealNameSign
	carrier := identity.Result{Outcome: identity.Match, Method: identity.Carrier, Level: identity.I3, At: noon}
	code := identity.Result{Outcome: identity.Match, Method: identity.PhoneCode, Level: identity.I1, Strength: identity.W2, At: noon}
	verdict := func(q identity.Requirement, now time.Time, have ...identity.Result) identity.Verdict {
		return identity.Evaluate(q, have, now).Verdict
	}
	assert.Equal(t, identity.Satisfied, verdict(sign, noon, carrier, code))

	t.Run("H42 below its level is StepUp", func(t *testing.T) {
		got := identity.Evaluate(sign, []identity.Result{code}, noon)
		assert.Equal(t, identity.StepUp, got.Verdict)
		assert.Contains(t, got.Methods, identity.Carrier)
		assert.NotContains(t, got.Methods, identity.IDMatch)
	})
	t.Run("I2 and above end after 365 days, half-open", func(t *testing.T) {
		end := noon.Add(identity.DefaultFreshness)
		fresh := code
		fresh.At = end
		assert.Equal(t, identity.Satisfied, verdict(sign, end.Add(-time.Microsecond), carrier, fresh))
		assert.Equal(t, identity.StepUp, verdict(sign, end, carrier, fresh))
		q := sign
		q.Freshness = time.Hour
		assert.Equal(t, identity.StepUp, verdict(q, noon.Add(time.Hour), carrier, code))
	})
	t.Run("T17 anything but Match counts for nothing", func(t *testing.T) {
		for _, o := range []identity.Outcome{identity.NoMatch, identity.Unavailable, identity.Pending, ""} {
			r := carrier
			r.Outcome = o
			assert.Equal(t, identity.StepUp, verdict(sign, noon, r, code))
		}
	})
	t.Run("a code over the link's own channel counts one level lower", func(t *testing.T) {
		r := code
		r.SameChannel = true
		assert.Equal(t, identity.StepUp, verdict(identity.OrdinarySign, noon, r))
		assert.Equal(t, identity.Satisfied, verdict(identity.OrdinarySign, noon, code))
	})
	t.Run("methods limit the axis they belong to", func(t *testing.T) {
		q := sign
		q.Methods = []identity.MethodID{identity.Bank}
		assert.Equal(t, identity.Decision{Verdict: identity.StepUp, Axis: identity.IdentityAxis, Methods: q.Methods},
			identity.Evaluate(q, []identity.Result{carrier, code}, noon))
		q.Methods = []identity.MethodID{"acme.bureau"}
		assert.Equal(t, identity.StepUp, verdict(q, noon, carrier, code))
		own := carrier
		own.Method = "acme.bureau"
		assert.Equal(t, identity.Satisfied, verdict(q, noon, own, code))
	})
	t.Run("an overclaiming or unknown level reaches nothing", func(t *testing.T) {
		r := carrier
		r.Level = "I9"
		assert.Equal(t, identity.StepUp, verdict(sign, noon, r, code))
		assert.Equal(t, identity.Refused, verdict(identity.Requirement{MinIdentity: "I9"}, noon, carrier, code))
	})
}

func TestRequirementValidate(t *testing.T) {
	ok := func(q identity.Requirement, own ...identity.Method) {
		t.Helper()
		require.NoError(t, q.Validate(own...))
	}
	ok(identity.Requirement{})
	ok(identity.OrdinarySign)
	ok(identity.RealNameSign)
	ok(identity.Requirement{MinIdentity: identity.I3, Methods: []identity.MethodID{"acme"}}, identity.Method{ID: "acme", Level: identity.I3})
	assert.True(t, identity.RealNameSign.Covers(identity.RealNameView))
	assert.False(t, identity.RealNameView.Covers(identity.RealNameSign))

	t.Run("face is never the only route", func(t *testing.T) {
		for _, q := range []identity.Requirement{
			{MinIdentity: identity.I2, Methods: []identity.MethodID{identity.Face}},
			{MinIntent: identity.W3, Methods: []identity.MethodID{identity.Face}},
		} {
			require.ErrorIs(t, q.Validate(), identity.ErrFaceOnly)
			require.ErrorIs(t, q.Validate(), identity.ErrRequirement)
		}
		ok(identity.Requirement{MinIntent: identity.W3, Methods: []identity.MethodID{identity.Face, identity.VideoAnswer}})
	})
	for _, q := range []identity.Requirement{
		{MinIdentity: "I9"}, {MinIntent: "W9"}, {Freshness: -1},
		{Methods: []identity.MethodID{"nowhere"}},
		{MinIdentity: identity.I4, Methods: []identity.MethodID{identity.IDMatch}},
	} {
		require.ErrorIs(t, q.Validate(), identity.ErrRequirement)
	}
}

// TestEvaluateIsMonotonic: another result never spoils a decision (T14).
func TestEvaluateIsMonotonic(t *testing.T) {
	ids := []identity.MethodID{"own.x"}
	for _, m := range identity.Methods() {
		ids = append(ids, m.ID)
	}
	result := rapid.Custom(func(t *rapid.T) identity.Result {
		return identity.Result{
			Outcome:     rapid.SampledFrom([]identity.Outcome{identity.Match, identity.NoMatch, identity.Unavailable}).Draw(t, "outcome"),
			Method:      rapid.SampledFrom(ids).Draw(t, "method"),
			Level:       rapid.SampledFrom(allLevels).Draw(t, "level"),
			Strength:    rapid.SampledFrom(allStrengths).Draw(t, "strength"),
			At:          noon.Add(-time.Duration(rapid.IntRange(0, 800).Draw(t, "age")) * 24 * time.Hour),
			SameChannel: rapid.Bool().Draw(t, "same"),
		}
	})
	rank := map[identity.Verdict]int{identity.Refused: 0, identity.StepUp: 1, identity.Satisfied: 2}
	rapid.Check(t, func(t *rapid.T) {
		q := identity.Requirement{
			MinIdentity: rapid.SampledFrom(allLevels).Draw(t, "need"),
			MinIntent:   rapid.SampledFrom(allStrengths).Draw(t, "want"),
			Methods:     rapid.SliceOfN(rapid.SampledFrom(ids), 0, 3).Draw(t, "methods"),
		}
		have := rapid.SliceOfN(result, 0, 4).Draw(t, "have")
		before := identity.Evaluate(q, have, noon)
		after := identity.Evaluate(q, append(have, result.Draw(t, "more")), noon)
		if rank[after.Verdict] < rank[before.Verdict] {
			// Identity met and intent impossible is Refused; identity not met is StepUp.
			if after.Axis != identity.IntentAxis || before.Axis != identity.IdentityAxis {
				t.Fatalf("%v became %v", before, after)
			}
		}
		if before.Verdict == identity.Satisfied && after.Verdict != identity.Satisfied {
			t.Fatalf("satisfied became %v", after)
		}
	})
}

// TestIntentBinding: an intent result never fits another digest (T12).
func TestIntentBinding(t *testing.T) {
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	ab := identity.Bind(a[:], b[:])
	for _, other := range []identity.Binding{
		identity.Bind(b[:], a[:]), identity.Bind(a[:]), identity.Bind(), identity.Bind(append(a[:], b[:]...)),
		identity.Bind(a[:], b[:], nil), "",
	} {
		assert.NotEqual(t, ab, other)
	}
	code := identity.Result{Outcome: identity.Match, Method: identity.PhoneCode, Level: identity.I1, Strength: identity.W2, At: noon, Bound: ab}
	have := []identity.Result{code, {Outcome: identity.Match, Method: identity.Carrier, Level: identity.I3, At: noon}}
	assert.Equal(t, identity.Satisfied, identity.Evaluate(identity.RealNameSign, identity.For(ab, have), noon).Verdict)
	got := identity.Evaluate(identity.RealNameSign, identity.For(identity.Bind(a[:]), have), noon)
	assert.Equal(t, identity.IntentAxis, got.Axis)
	assert.Len(t, have, 2, "For copies")
}

// TestUntil_AgreesWithEvaluate: the instant it names is the first at which the
// requirement is no longer met.
func TestUntil_AgreesWithEvaluate(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	match := func(m identity.MethodID, l identity.Level, age, life time.Duration) identity.Result {
		r := identity.Result{Outcome: identity.Match, Method: m, Level: l, At: at.Add(-age)}
		if life > 0 {
			r.Expires = r.At.Add(life)
		}
		return r
	}
	const day = 24 * time.Hour
	need := identity.Requirement{MinIdentity: identity.I3}
	for name, c := range map[string]struct {
		q    identity.Requirement
		have []identity.Result
		want time.Time
	}{
		"nothing":             {need, nil, at},
		"nothing asked":       {identity.Requirement{}, nil, time.Time{}},
		"a code never ends":   {identity.RealNameView, []identity.Result{match(identity.PhoneCode, identity.I1, day, 0)}, time.Time{}},
		"a year":              {need, []identity.Result{match(identity.Carrier, identity.I3, 65*day, 0)}, at.Add(300 * day)},
		"too low":             {need, []identity.Result{match(identity.IDMatch, identity.I2, day, 0)}, at},
		"its own end":         {need, []identity.Result{match(identity.Carrier, identity.I3, day, 8*day)}, at.Add(7 * day)},
		"asked to be fresher": {identity.Requirement{MinIdentity: identity.I3, Freshness: 30 * day}, []identity.Result{match(identity.Carrier, identity.I3, 10*day, 0)}, at.Add(20 * day)},
		"the last that holds": {need, []identity.Result{match(identity.Carrier, identity.I3, 0, 5*day), match(identity.Bank, identity.I3, 0, 9*day),
			match(identity.IDMatch, identity.I2, 0, 20*day)}, at.Add(9 * day)},
		"a gap is not bridged": {need, []identity.Result{match(identity.Carrier, identity.I3, 400*day, 0)}, at},
	} {
		t.Run(name, func(t *testing.T) {
			got := identity.Until(c.q, c.have, at)
			assert.Equal(t, c.want, got)
			if got.After(at) {
				assert.Equal(t, identity.Satisfied, identity.Evaluate(c.q, c.have, got.Add(-time.Microsecond)).Verdict)
				assert.Equal(t, identity.StepUp, identity.Evaluate(c.q, c.have, got).Verdict)
			}
		})
	}
}
