package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/identity/identitytest"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

type rig struct {
	*identity.Service
	reg   *identitytest.Registry
	gate  *identitytest.Gate
	vault *privacy.Vault
	now   time.Time
}

const (
	goodName   = "张三"
	goodNumber = "11010519491231002X"
)

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{reg: &identitytest.Registry{}, gate: &identitytest.Gate{}, now: noon}
	clock := func() time.Time { return r.now }
	r.gate.Now = clock
	var err error
	r.vault, err = privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: new(storage.Mem), Now: clock})
	require.NoError(t, err)
	r.Service, err = identity.New(identity.Config{Verifiers: []identity.Verifier{r.reg}, Gate: r.gate, Vault: r.vault, Now: clock})
	require.NoError(t, err)
	r.reg.Know(goodName, goodNumber)
	r.gate.Grant(10)
	r.gate.Allow(subject)
	return r
}

var subject = privacy.Subject{Tenant: "acme", ID: "zhang"}

func claim(t *testing.T, key, name, number string) identity.Claim {
	t.Helper()
	n, err := privacy.NewName(name)
	require.NoError(t, err)
	id, err := privacy.NewIDNumber(number)
	require.NoError(t, err)
	return identity.Claim{Key: key, Subject: subject, Kind: identity.Person, Method: identity.IDMatch, Name: n, Number: id}
}

func (r *rig) units() [3]int {
	free, held, captured := r.gate.Units()
	return [3]int{free, held, captured}
}

func TestStart(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	f, err := r.Start(ctx, claim(t, "k-1", goodName, goodNumber))
	require.NoError(t, err)
	require.NotNil(t, f.Result)
	assert.Equal(t, identity.Match, f.Result.Outcome)
	assert.Equal(t, identity.I2, f.Result.Level)
	assert.Equal(t, noon.Add(identity.DefaultFreshness), f.Result.Expires)
	assert.Equal(t, [3]int{9, 0, 1}, r.units(), "H40: captured")

	t.Run("T17 the same key is one call and one charge", func(t *testing.T) {
		again, err := r.Start(ctx, claim(t, "k-1", goodName, goodNumber))
		require.NoError(t, err)
		assert.Equal(t, f, again)
		assert.Equal(t, 1, r.reg.Asked())
		assert.Equal(t, [3]int{9, 0, 1}, r.units())
		_, err = r.Start(ctx, claim(t, "k-1", "李四", goodNumber))
		require.Error(t, err, "another claim under the key")
		res, err := r.Complete(ctx, f, identity.Response{})
		require.NoError(t, err)
		assert.Equal(t, *f.Result, res)
	})
	t.Run("T14 the result satisfies what it reaches", func(t *testing.T) {
		q := identity.Requirement{MinIdentity: identity.I2}
		assert.Equal(t, identity.Satisfied, identity.Evaluate(q, []identity.Result{*f.Result}, noon).Verdict)
	})
	t.Run("nothing personal in what is kept", func(t *testing.T) {
		all := fmt.Sprintf("%+v %+v", r.gate.Flows(), claim(t, "x", goodName, goodNumber))
		assert.NotContains(t, all, goodNumber)
		assert.NotContains(t, all, goodName)
	})
}

// TestOrder: whatever fails earlier costs nothing and is told nobody.
func TestOrder(t *testing.T) {
	ctx := context.Background()
	minor := withCheck("11010520101231002") // 15 at noon
	for _, tc := range []struct {
		name string
		edit func(*rig, *identity.Claim)
		want error
	}{
		{"T42 T50 no consent", func(r *rig, c *identity.Claim) { c.Subject.ID = "stranger" }, identity.ErrConsent},
		{"P21 a minor", func(r *rig, c *identity.Claim) { *c = claim(t, "k", goodName, minor) }, privacy.ErrMinor},
		{"bad number", func(r *rig, c *identity.Claim) { *c = claim(t, "k", goodName, "110105194912310021") }, identity.ErrForm},
		{"bad name", func(r *rig, c *identity.Claim) { *c = claim(t, "k", "张3", goodNumber) }, identity.ErrForm},
		{"incomplete", func(r *rig, c *identity.Claim) { c.Name = privacy.Name{} }, identity.ErrClaim},
		{"carrier without phone", func(r *rig, c *identity.Claim) { c.Method = identity.Carrier }, identity.ErrClaim},
		{"unknown method", func(r *rig, c *identity.Claim) { c.Method = identity.Face }, identity.ErrOff},
		{"H40 no units", func(r *rig, c *identity.Claim) { r.gate.Grant(-10) }, identitytest.ErrUnits},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			c := claim(t, "k", goodName, goodNumber)
			tc.edit(r, &c)
			before := r.units()
			_, err := r.Start(ctx, c)
			require.ErrorIs(t, err, tc.want)
			assert.NotContains(t, err.Error(), goodNumber)
			assert.Zero(t, r.reg.Asked(), "the provider was not called")
			assert.Equal(t, before, r.units())
			assert.Empty(t, r.gate.Flows())
		})
	}
}

func TestOutcomes(t *testing.T) {
	ctx := context.Background()
	for _, fault := range []identitytest.Fault{identitytest.Unavailable, identitytest.Failing, identitytest.Nonsense, identitytest.Overclaim, identitytest.Panic} {
		t.Run("T17 "+string(fault)+" is Unavailable, free and no attempt", func(t *testing.T) {
			r := newRig(t)
			for i := range 8 { // beyond five a day
				r.reg.Script(fault)
				f, err := r.Start(ctx, claim(t, fmt.Sprint("k-", i), goodName, goodNumber))
				require.NoError(t, err)
				assert.Equal(t, identity.Unavailable, f.Result.Outcome)
			}
			assert.Equal(t, [3]int{10, 0, 0}, r.units())
		})
	}
	t.Run("NoMatch is the same for a wrong name, a wrong number, an unknown person", func(t *testing.T) {
		var seen []string
		for i, c := range [][2]string{{"李四", goodNumber}, {goodName, "440524188001010014"}, {"王五", withCheck("44010019900101001")}} {
			r := newRig(t)
			for range i { // transactions differ
				_, err := r.Start(ctx, claim(t, fmt.Sprint("warm-", i), goodName, goodNumber))
				require.NoError(t, err)
			}
			f, err := r.Start(ctx, claim(t, "k", c[0], c[1]))
			require.NoError(t, err)
			f.Intent, f.Named = "", "" // keyed by the claim
			seen = append(seen, fmt.Sprintf("%+v %+v", f.Result, f.TxID))
			_, _, captured := r.gate.Units()
			assert.Positive(t, captured, "an answer is an answer")
		}
		assert.Equal(t, seen[0], seen[1])
		assert.Equal(t, seen[1], seen[2])
	})
	t.Run("Pending keeps the unit, 72 h at most", func(t *testing.T) {
		r := newRig(t)
		r.reg.Script(identitytest.Pending, identitytest.Pending, identitytest.Failing)
		f, err := r.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.NoError(t, err)
		assert.Equal(t, identity.Pending, f.Result.Outcome)
		assert.Equal(t, [3]int{9, 1, 0}, r.units())
		for range 2 {
			res, err := r.Complete(ctx, f, identity.Response{})
			require.NoError(t, err)
			assert.Equal(t, identity.Pending, res.Outcome)
		}
		r.now = r.now.Add(72 * time.Hour)
		r.reg.Script(identitytest.Pending)
		res, err := r.Complete(ctx, f, identity.Response{})
		require.NoError(t, err)
		assert.Equal(t, identity.Unavailable, res.Outcome)
		assert.Equal(t, [3]int{10, 0, 0}, r.units())
	})
	t.Run("Pending, then a match", func(t *testing.T) {
		r := newRig(t)
		r.reg.Script(identitytest.Pending)
		f, err := r.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.NoError(t, err)
		res, err := r.Complete(ctx, f, identity.Response{Token: "back"})
		require.NoError(t, err)
		assert.Equal(t, identity.Match, res.Outcome)
		assert.Equal(t, [3]int{9, 0, 1}, r.units())
	})
}

// TestCrash: a process that dies at any step charges once.
func TestCrash(t *testing.T) {
	ctx := context.Background()
	down := errors.New("store down")
	t.Run("before Open", func(t *testing.T) {
		r := newRig(t)
		r.gate.FailNext(down)
		_, err := r.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.ErrorIs(t, err, down)
		assert.Zero(t, r.reg.Asked())
		_, err = r.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.NoError(t, err)
		assert.Equal(t, [3]int{9, 0, 1}, r.units())
	})
	t.Run("between provider and Close", func(t *testing.T) {
		r := newRig(t)
		s, err := identity.New(identity.Config{Verifiers: []identity.Verifier{failing{r.reg, func() { r.gate.FailNext(down) }}}, Gate: r.gate, Vault: r.vault, Now: func() time.Time { return r.now }})
		require.NoError(t, err)
		_, err = s.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.ErrorIs(t, err, down)
		f, err := r.Start(ctx, claim(t, "k", goodName, goodNumber))
		require.NoError(t, err)
		assert.Equal(t, identity.Match, f.Result.Outcome)
		assert.Equal(t, 1, r.reg.Asked(), "idempotent by key")
		assert.Equal(t, [3]int{9, 0, 1}, r.units())
	})
}

type failing struct {
	*identitytest.Registry
	then func()
}

func (f failing) Start(ctx context.Context, c identity.Claim) (identity.Flow, error) {
	got, err := f.Registry.Start(ctx, c)
	f.then()
	return got, err
}

func TestAttempts(t *testing.T) {
	var a identity.Attempts
	var err error
	at := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC) // noon in Shanghai
	for range 3 {
		a, err = a.Try(at)
		require.NoError(t, err)
		a = a.Settle(identity.NoMatch)
	}
	_, err = a.Try(at.Add(time.Hour - time.Microsecond))
	var limit *identity.AttemptError
	require.ErrorAs(t, err, &limit)
	require.ErrorIs(t, err, identity.ErrAttempts)
	assert.Equal(t, at.Add(time.Hour), limit.Next)
	for range 2 {
		a, err = a.Try(at.Add(time.Hour))
		require.NoError(t, err)
		a = a.Settle(identity.NoMatch)
	}
	_, err = a.Try(at.Add(5 * time.Hour))
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, time.Date(2026, 3, 1, 16, 0, 0, 0, time.UTC), limit.Next, "midnight in Shanghai")
	_, err = a.Try(time.Date(2026, 3, 1, 16, 0, 0, 0, time.UTC))
	require.NoError(t, err)
}

func TestNewCertRequest(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	csr := func(name string) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
		require.NoError(t, err)
		return der
	}
	f, err := r.Start(ctx, claim(t, "k", goodName, goodNumber))
	require.NoError(t, err)
	name, err := privacy.NewName(goodName)
	require.NoError(t, err)
	other, err := privacy.NewName("李四")
	require.NoError(t, err)
	good := identity.CertSpec{Key: "c-1", Subject: subject, Name: name, CSR: csr(goodName), Proof: f}
	req, err := identity.NewCertRequest(r.vault, noon, good)
	require.NoError(t, err)
	assert.Equal(t, subject, req.Subject())
	assert.NotNil(t, req.CSR())

	for label, tc := range map[string]struct {
		edit func(*identity.CertSpec)
		want error
	}{
		"T11 no check":       {func(s *identity.CertSpec) { s.Proof = identity.Flow{} }, identity.ErrNotVerified},
		"T11 another person": {func(s *identity.CertSpec) { s.Subject.ID = "li" }, identity.ErrNotVerified},
		"T11 another tenant": {func(s *identity.CertSpec) { s.Subject.Tenant = "other" }, identity.ErrNotVerified},
		"T11 another name":   {func(s *identity.CertSpec) { s.Name = other }, identity.ErrNotVerified},
		"T11 a mismatch": {func(s *identity.CertSpec) {
			res := *s.Proof.Result
			res.Outcome = identity.NoMatch
			s.Proof.Result = &res
		}, identity.ErrNotVerified},
		"T11 too low":               {func(s *identity.CertSpec) { res := *s.Proof.Result; res.Level = identity.I1; s.Proof.Result = &res }, identity.ErrNotVerified},
		"T11 no representative":     {func(s *identity.CertSpec) { s.Proof.Kind = identity.Organisation }, identity.ErrNotVerified},
		"request for another name":  {func(s *identity.CertSpec) { s.CSR = csr("李四") }, identity.ErrForm},
		"request with a broken end": {func(s *identity.CertSpec) { s.CSR = append([]byte(nil), s.CSR[:len(s.CSR)-1]...) }, identity.ErrForm},
	} {
		t.Run(label, func(t *testing.T) {
			s := good
			tc.edit(&s)
			_, err := identity.NewCertRequest(r.vault, noon, s)
			require.ErrorIs(t, err, tc.want)
		})
	}
	_, err = identity.NewCertRequest(r.vault, noon.Add(identity.DefaultFreshness), good)
	require.ErrorIs(t, err, identity.ErrNotVerified, "a match a year old")
}

// passkey is an intent verifier that says yes, about whatever it is told.
type passkey struct{ bound identity.Binding }

func (passkey) Name() string { return "passkey" }
func (passkey) Methods() []identity.Method {
	return []identity.Method{{ID: identity.Passkey, Strength: identity.W1}}
}
func (passkey) Challenge(context.Context, identity.SignIntent) (identity.Challenge, error) {
	return identity.Challenge{ID: "c"}, nil
}
func (p passkey) Verify(_ context.Context, c identity.Challenge, r identity.Response) (identity.Result, error) {
	return identity.Result{Outcome: identity.Match, Strength: identity.Strength(r.Token), Bound: p.bound}, nil
}

func TestIntent(t *testing.T) {
	ctx := context.Background()
	digest := make([]byte, 32)
	bound := identity.Bind(digest)
	s, err := identity.New(identity.Config{IntentVerifiers: []identity.IntentVerifier{passkey{bound}}})
	require.NoError(t, err)
	c, err := s.Challenge(ctx, identity.SignIntent{Key: "i", Method: identity.Passkey, Digests: [][]byte{digest}})
	require.NoError(t, err)
	res, err := s.Verify(ctx, c, identity.Response{Token: "W1"})
	require.NoError(t, err)
	assert.Equal(t, identity.W1, res.Strength)
	res, err = s.Verify(ctx, c, identity.Response{Token: "W3"})
	require.NoError(t, err)
	assert.Equal(t, identity.Unavailable, res.Outcome, "stronger than the method gives")
	c.Bound = identity.Bind(digest, digest)
	_, err = s.Verify(ctx, c, identity.Response{Token: "W1"})
	require.ErrorIs(t, err, identity.ErrBinding, "T12")
	_, err = s.Challenge(ctx, identity.SignIntent{Method: identity.VideoAnswer})
	require.ErrorIs(t, err, identity.ErrOff)
}

func TestNew(t *testing.T) {
	_, err := identity.New(identity.Config{})
	require.NoError(t, err, "identity is off without verifiers")
	_, err = identity.New(identity.Config{Verifiers: []identity.Verifier{&identitytest.Registry{}}})
	require.ErrorIs(t, err, identity.ErrConfig)
}
