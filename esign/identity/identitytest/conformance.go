package identitytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/esign/identity"
)

// A Rig is a verifier and what its source knows.
type Rig struct {
	// New makes the verifier under test, over a source that is up.
	New func() identity.Verifier
	// Match makes a claim that the source confirms; the three mismatches differ
	// from what it knows in the name, in the number, in both.
	Match, WrongName, WrongNumber, Unknown func(key string) identity.Claim
	// Calls counts what the source was asked; nil: not checked.
	Calls func() int
	// Down makes the source unreachable from now on; nil: not checked.
	Down func()
	// Secrets are the values in the claims: no error may hold one.
	Secrets []string
}

// Run checks every sentence of [identity.Verifier]'s contract.
func Run(t *testing.T, rig Rig) {
	t.Helper()
	for _, p := range Problems(rig) {
		t.Error(p)
	}
}

// Problems is [Run] for those who test the suite: it returns what it finds.
func Problems(rig Rig) (found []string) {
	var mu sync.Mutex
	problem := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, fmt.Sprintf(format, args...))
	}
	ctx := context.Background()
	v := rig.New()
	if n := v.Name(); n == "" || len(n) > 32 || n != v.Name() {
		problem("name: fixed, of 1 to 32 bytes")
	}
	methods := v.Methods()
	if len(methods) == 0 {
		problem("methods: none")
	}
	start := func(ctx context.Context, c identity.Claim) identity.Flow {
		f, err := func() (f identity.Flow, err error) {
			defer func() {
				if p := recover(); p != nil {
					problem("start: panicked")
					err = fmt.Errorf("panic")
				}
			}()
			return v.Start(ctx, c)
		}()
		if err != nil {
			for _, s := range rig.Secrets {
				if strings.Contains(err.Error(), s) {
					problem("start: the error tells what was claimed")
				}
			}
			f.Result = &identity.Result{Outcome: identity.Unavailable} // what an error counts as
		}
		if f.Result != nil && !slices.Contains([]identity.Outcome{identity.Match, identity.NoMatch, identity.Unavailable, identity.Pending}, f.Result.Outcome) {
			problem("start: unknown outcome %q", f.Result.Outcome)
		}
		return f
	}

	c := rig.Match("suite-1")
	calls := 0
	if rig.Calls != nil {
		calls = rig.Calls()
	}
	f := start(ctx, c)
	if f.Result != nil && f.Result.Outcome != identity.Pending {
		if f.Result.Outcome != identity.Match {
			problem("match: outcome %q", f.Result.Outcome)
		}
		i := slices.IndexFunc(methods, func(m identity.Method) bool { return m.ID == c.Method })
		if i < 0 || !methods[i].Level.AtLeast(f.Result.Level) {
			problem("match: level %q is above the method's", f.Result.Level)
		}
		if f.Result.Strength != "" {
			problem("match: a check of identity proves no intent")
		}
	}
	again := start(ctx, c)
	if fmt.Sprintf("%+v %+v", f, f.Result) != fmt.Sprintf("%+v %+v", again, again.Result) {
		// Times and pointers aside, the answers must agree.
		if f.TxID != again.TxID || f.Result != nil && again.Result != nil && f.Result.Outcome != again.Result.Outcome {
			problem("same key: another answer")
		}
	}
	if rig.Calls != nil && rig.Calls() != calls+1 {
		problem("same key: %d calls at the source, want 1", rig.Calls()-calls)
	}

	var seen []string
	for i, claim := range []func(string) identity.Claim{rig.WrongName, rig.WrongNumber, rig.Unknown} {
		f := start(ctx, claim(fmt.Sprint("suite-no-", i)))
		if f.Result == nil || f.Result.Outcome != identity.NoMatch {
			problem("mismatch %d: not NoMatch", i)
			continue
		}
		r := *f.Result
		r.TxID, r.At = "", time.Time{}
		seen = append(seen, fmt.Sprintf("%+v", r))
	}
	if len(slices.Compact(seen)) > 1 {
		problem("mismatches can be told apart")
	}

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if f := start(ctx, rig.Match(fmt.Sprint("suite-many-", i))); f.Result != nil && f.Result.Outcome == identity.NoMatch {
				problem("side by side: NoMatch")
			}
		})
	}
	wg.Wait()

	gone, cancel := context.WithCancel(ctx)
	cancel()
	done := make(chan identity.Flow, 1)
	go func() { done <- start(gone, rig.WrongName("suite-cancelled")) }()
	select {
	case f := <-done:
		_ = f // an answer that was there in time is an answer
	case <-time.After(2 * time.Second):
		problem("cancelled: did not give up")
		return found
	}
	if rig.Down != nil {
		rig.Down()
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if f := start(short, rig.WrongName("suite-down")); f.Result == nil || f.Result.Outcome != identity.Unavailable {
			problem("down: not Unavailable")
		}
	}
	return found
}
