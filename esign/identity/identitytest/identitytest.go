// Package identitytest has a scripted registry and an in-memory gate for tests
// and examples of identity checks. Nothing here asks anybody.
package identitytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
)

// A Fault is what happens to one call of a [Registry].
type Fault string

// The faults.
const (
	OK          Fault = ""
	Unavailable Fault = "unavailable"
	Failing     Fault = "failing" // an error
	Pending     Fault = "pending"
	Slow        Fault = "slow"        // no answer until ctx ends
	Overclaim   Fault = "overclaim"   // a level above its own
	Nonsense    Fault = "nonsense"    // an outcome nobody knows
	Panic       Fault = "panic"       // quoting the claim
	LostAnswer  Fault = "lost_answer" // answered and counted; the answer never came
)

// A Registry is a verifier that knows the people it was told of. It is safe for
// concurrent use; the zero value knows nobody and has the methods id.match and
// carrier.3.
type Registry struct {
	// ID is its name; zero: "registry".
	ID string
	// Has lists its methods; nil: id.match and carrier.3.
	Has []identity.Method

	mu     sync.Mutex
	known  map[string]string // number to name
	script []Fault
	asked  int
	billed map[string]identity.Flow // by key: idempotent
}

var _ identity.Verifier = (*Registry)(nil)

// Know adds a person.
func (r *Registry) Know(name, number string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]string{}
	}
	r.known[number] = name
}

// Script sets what happens to the next calls; after them all is well again.
func (r *Registry) Script(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = append(r.script, faults...)
}

// Asked is how many claims reached it, repeats not counted.
func (r *Registry) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// Name implements [identity.Verifier].
func (r *Registry) Name() string {
	if r.ID == "" {
		return "registry"
	}
	return r.ID
}

// Methods implements [identity.Verifier].
func (r *Registry) Methods() []identity.Method {
	if r.Has != nil {
		return r.Has
	}
	var out []identity.Method
	for _, m := range identity.Methods() {
		if m.ID == identity.IDMatch || m.ID == identity.Carrier {
			out = append(out, m)
		}
	}
	return out
}

func (r *Registry) level(id identity.MethodID) identity.Level {
	for _, m := range r.Methods() {
		if m.ID == id {
			return m.Level
		}
	}
	return ""
}

// Start implements [identity.Verifier].
func (r *Registry) Start(ctx context.Context, c identity.Claim) (identity.Flow, error) {
	ctx = privacy.InsecureAccess(ctx)
	name, err := c.Name.Reveal(ctx, privacy.PurposeIdentity)
	if err != nil {
		return identity.Flow{}, errors.New("identitytest: name does not open")
	}
	number, err := c.Number.Reveal(ctx, privacy.PurposeIdentity)
	if err != nil {
		return identity.Flow{}, errors.New("identitytest: number does not open")
	}
	r.mu.Lock()
	if f, ok := r.billed[c.Key]; ok {
		r.mu.Unlock()
		return f, nil
	}
	fault := OK
	if len(r.script) > 0 {
		fault, r.script = r.script[0], r.script[1:]
	}
	r.asked++
	f := identity.Flow{TxID: "tx-" + strconv.Itoa(r.asked)}
	outcome := identity.NoMatch
	if n, ok := r.known[number]; ok && n == name {
		outcome = identity.Match
	}
	f.Result = &identity.Result{Outcome: outcome, TxID: f.TxID}
	if outcome == identity.Match {
		f.Result.Level = r.level(c.Method)
	}
	switch fault {
	case Overclaim:
		f.Result.Outcome, f.Result.Level = identity.Match, identity.I4
	case Nonsense:
		f.Result.Outcome = "perhaps"
	case Pending:
		f.Result.Outcome, f.Result.Level = identity.Pending, ""
	case Unavailable:
		f.Result.Outcome, f.Result.Level = identity.Unavailable, ""
	}
	if r.billed == nil {
		r.billed = map[string]identity.Flow{}
	}
	if fault != Unavailable && fault != Failing && fault != Slow && fault != Panic {
		r.billed[c.Key] = f
	}
	r.mu.Unlock()
	switch fault {
	case Failing, LostAnswer:
		return identity.Flow{}, errors.New("identitytest: scripted failure")
	case Slow:
		<-ctx.Done()
		return identity.Flow{}, ctx.Err()
	case Panic:
		panic(fmt.Sprintf("scripted panic: %s", number))
	}
	return f, nil
}

// Complete implements [identity.Verifier]: it answers what Start would have
// without its fault.
func (r *Registry) Complete(_ context.Context, f identity.Flow, _ identity.Response) (identity.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fault := OK
	if len(r.script) > 0 {
		fault, r.script = r.script[0], r.script[1:]
	}
	switch fault {
	case Pending:
		return identity.Result{Outcome: identity.Pending}, nil
	case Failing:
		return identity.Result{}, errors.New("identitytest: scripted failure")
	}
	return identity.Result{Outcome: identity.Match, Level: r.level(f.Method), TxID: f.TxID}, nil
}

// A Gate is an [identity.Gate] in memory. The zero value has consented to
// nothing and has no units.
type Gate struct {
	Now func() time.Time // nil: time.Now

	mu       sync.Mutex
	consents map[privacy.Subject]bool
	units    int
	held     map[string]bool
	captured int
	flows    map[string]identity.Flow
	attempts map[string]identity.Attempts
	fail     error
}

var _ identity.Gate = (*Gate)(nil)

// ErrUnits says that no unit is left.
var ErrUnits = errors.New("identitytest: no units")

// Allow records consent.
func (g *Gate) Allow(s privacy.Subject) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.consents == nil {
		g.consents = map[privacy.Subject]bool{}
	}
	g.consents[s] = true
}

// Grant adds units.
func (g *Gate) Grant(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.units += n
}

// FailNext makes the next Open or Close fail, storing nothing.
func (g *Gate) FailNext(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = err
}

// Units returns what is free, held and captured.
func (g *Gate) Units() (free, held, captured int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.units, len(g.held), g.captured
}

// Flows returns what was kept, by subject and key.
func (g *Gate) Flows() map[string]identity.Flow {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.flows)
}

// Consent implements [identity.Gate].
func (g *Gate) Consent(_ context.Context, s privacy.Subject, _ string, _ []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.consents[s] {
		return identity.ErrConsent
	}
	return nil
}

func flowKey(f identity.Flow) string { return f.Subject.Tenant + "/" + f.Key }

// Open implements [identity.Gate].
func (g *Gate) Open(_ context.Context, f identity.Flow) (identity.Flow, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.fail; err != nil {
		g.fail = nil
		return identity.Flow{}, err
	}
	if kept, ok := g.flows[flowKey(f)]; ok {
		if kept.Intent != f.Intent {
			return identity.Flow{}, errors.New("identitytest: another claim under this key")
		}
		return kept, nil
	}
	now := time.Now()
	if g.Now != nil {
		now = g.Now()
	}
	who := f.Subject.Tenant + "/" + f.Subject.ID + "/" + string(f.Method)
	next, err := g.attempts[who].Try(now)
	if err != nil {
		return identity.Flow{}, err
	}
	if f.Unit != "" && g.units == 0 {
		return identity.Flow{}, ErrUnits
	}
	if g.flows == nil {
		g.flows, g.held, g.attempts = map[string]identity.Flow{}, map[string]bool{}, map[string]identity.Attempts{}
	}
	g.attempts[who] = next
	if f.Unit != "" {
		g.units--
		g.held[flowKey(f)] = true
	}
	g.flows[flowKey(f)] = f
	return f, nil
}

// Close implements [identity.Gate].
func (g *Gate) Close(_ context.Context, f identity.Flow) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.fail; err != nil {
		g.fail = nil
		return err
	}
	old, ok := g.flows[flowKey(f)]
	if !ok {
		return errors.New("identitytest: unknown flow")
	}
	if old.Result != nil && old.Result.Outcome != identity.Pending {
		return nil
	}
	g.flows[flowKey(f)] = f
	if f.Result == nil || f.Result.Outcome == identity.Pending {
		return nil
	}
	who := f.Subject.Tenant + "/" + f.Subject.ID + "/" + string(f.Method)
	g.attempts[who] = g.attempts[who].Settle(f.Result.Outcome)
	if g.held[flowKey(f)] {
		delete(g.held, flowKey(f))
		if f.Result.Outcome.Final() {
			g.captured++
		} else {
			g.units++
		}
	}
	return nil
}
