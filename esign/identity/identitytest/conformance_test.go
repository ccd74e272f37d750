package identitytest_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/privacy"
)

func claim(name, number string) func(string) identity.Claim {
	return func(key string) identity.Claim {
		n, err := privacy.NewName(name)
		if err != nil {
			panic(err)
		}
		id, err := privacy.NewIDNumber(number)
		if err != nil {
			panic(err)
		}
		return identity.Claim{Key: key, Subject: privacy.Subject{Tenant: "acme", ID: "zhang"}, Kind: identity.Person, Method: identity.IDMatch, Name: n, Number: id}
	}
}

// breaker spoils a registry's answers.
type breaker struct {
	*identitytest.Registry
	spoil func(*breaker, context.Context, identity.Claim) (identity.Flow, error)
	down  bool
	n     atomic.Int32
}

func (b *breaker) Start(ctx context.Context, c identity.Claim) (identity.Flow, error) {
	if b.spoil != nil {
		return b.spoil(b, ctx, c)
	}
	if b.down {
		return identity.Flow{}, errors.New("down")
	}
	return b.Registry.Start(ctx, c)
}

func rig(spoil func(*breaker, context.Context, identity.Claim) (identity.Flow, error)) identitytest.Rig {
	reg := &identitytest.Registry{}
	reg.Know("张三", "11010519491231002X")
	b := &breaker{Registry: reg, spoil: spoil}
	return identitytest.Rig{
		New:   func() identity.Verifier { return b },
		Match: claim("张三", "11010519491231002X"), WrongName: claim("李四", "11010519491231002X"),
		WrongNumber: claim("张三", "440524188001010014"), Unknown: claim("王五", "440524188001010014"),
		Calls: reg.Asked, Down: func() { b.down = true },
		Secrets: []string{"张三", "李四", "11010519491231002X"},
	}
}

func TestRegistryPasses(t *testing.T) { identitytest.Run(t, rig(nil)) }

// TestZoo: each broken verifier is caught for the reason it is broken.
func TestZoo(t *testing.T) {
	for name, animal := range map[string]struct {
		spoil func(*breaker, context.Context, identity.Claim) (identity.Flow, error)
		want  string
	}{
		"overclaims": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			f, err := b.Registry.Start(ctx, c)
			if f.Result != nil && f.Result.Outcome == identity.Match {
				r := *f.Result
				r.Level = identity.I4
				f.Result = &r
			}
			return f, err
		}, "above the method's"},
		"asks twice under one key": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			c.Key += strings.Repeat("'", int(b.n.Add(1)))
			return b.Registry.Start(ctx, c)
		}, "same key"},
		"says which field differed": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			f, err := b.Registry.Start(ctx, c)
			if f.Result != nil && f.Result.Outcome == identity.NoMatch && strings.HasSuffix(c.Key, "0") {
				r := *f.Result
				r.Evidence.Fields = []string{"name"}
				f.Result = &r
			}
			return f, err
		}, "told apart"},
		"takes an outage for a mismatch": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			if b.down {
				return identity.Flow{Result: &identity.Result{Outcome: identity.NoMatch}}, nil
			}
			return b.Registry.Start(ctx, c)
		}, "down: not Unavailable"},
		"tells the claim": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			if b.down {
				return identity.Flow{}, errors.New("no answer about 李四")
			}
			return b.Registry.Start(ctx, c)
		}, "tells what was claimed"},
		"panics": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			if b.down {
				panic("x")
			}
			return b.Registry.Start(ctx, c)
		}, "panicked"},
		"never gives up": {func(b *breaker, ctx context.Context, c identity.Claim) (identity.Flow, error) {
			if ctx.Err() != nil {
				select {}
			}
			return b.Registry.Start(ctx, c)
		}, "did not give up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := identitytest.Problems(rig(animal.spoil))
			require.NotEmpty(t, found)
			assert.Contains(t, strings.Join(found, "\n"), animal.want)
		})
	}
}
