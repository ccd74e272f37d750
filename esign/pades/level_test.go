package pades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/cms/der"
)

// served is an authority whose certificates name a local OCSP responder and
// CRL, at a clock of its own.
func served(t testing.TB, alg string, now func() time.Time) (signer, string) {
	t.Helper()
	var ca atomic.Pointer[devca.CA]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ca.Load().ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	made, err := devca.NewInsecure(&devca.Options{Algorithm: alg, URL: srv.URL, Now: now})
	require.NoError(t, err)
	ca.Store(made)
	key, chain, err := made.NewSigner(t.Context(), "Zhang San")
	require.NoError(t, err)
	return signer{made, key, chain}, srv.URL
}

func local() *pades.Fetcher { return &pades.Fetcher{InsecureAllowPrivate: true} }

// B-T to B-LTA in one call, each verified offline from what the file holds.
func TestLevels(t *testing.T) {
	t.Parallel()
	s, _ := served(t, "ecdsa", nil)
	for _, doc := range [][]byte{formDoc().classic(), formDoc().streams(), hybridDoc(formDoc())} {
		for _, level := range []pades.Profile{pades.ProfileBT, pades.ProfileBLT, pades.ProfileBLTA} {
			t.Run(string(level), func(t *testing.T) {
				t.Parallel()
				spec := s.spec()
				spec.Profile = level
				var out bytes.Buffer
				res, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, spec, s.key,
					&pades.FinishOptions{Timestamper: s.ca, Revocation: local(), Roots: s.ca.Roots()})
				require.NoError(t, err)
				assert.Equal(t, int64(out.Len()), res.Size)
				assert.Equal(t, out.Len()-len(doc), len(res.Increment))
				o := &pades.VerifyOptions{Roots: s.ca.Roots()}
				if level == pades.ProfileBT {
					o.Revocation = local()
				}
				r, err := pades.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), o)
				require.NoError(t, err)
				assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
				got := r.Signatures[0]
				assert.Equal(t, level, got.Profile)
				assert.NotNil(t, got.Timestamp)
				if level != pades.ProfileBT {
					assert.Equal(t, pades.ChangesLTV, got.Changes)
				}
				path := save(t, "lt.pdf", out.Bytes())
				qpdfClean(t, path, "")
				parts := extract(t, out.Bytes())
				opensslCMS(t, parts[0], s.ca.Roots()[0], true)
				if level == pades.ProfileBLTA {
					require.Len(t, parts, 2)
					opensslTimestamp(t, parts[1], s.ca.Roots()[0])
				}
				// The next signature resumes where this one ended.
				next := s.spec()
				next.Resume = res.State
				res2, err := pades.Sign(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), nil, next, s.key, nil)
				require.NoError(t, err)
				both := append(out.Bytes(), res2.Increment...)
				r, err = pades.Verify(t.Context(), bytes.NewReader(both), int64(len(both)), &pades.VerifyOptions{Roots: s.ca.Roots(), Revocation: local()})
				require.NoError(t, err)
				assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			})
		}
	}
}

// V12, V13: an archived signature outlives its certificate, offline; a plain
// one does not.
func TestOutlivesCertificate(t *testing.T) {
	t.Parallel()
	s, _ := served(t, "ecdsa", nil)
	chain, err := s.ca.Leaf(t.Context(), devca.LeafRequest{Name: "Short", Key: s.key.Public(), Life: 24 * time.Hour})
	require.NoError(t, err)
	s.chain = chain
	doc := formDoc().classic()
	later := time.Now().Add(60 * 24 * time.Hour)
	for level, want := range map[pades.Profile]pades.Verdict{
		pades.ProfileBB: pades.Indeterminate, pades.ProfileBLT: pades.Passed, pades.ProfileBLTA: pades.Passed,
	} {
		spec := s.spec()
		spec.Profile = level
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, spec, s.key,
			&pades.FinishOptions{Timestamper: s.ca, Revocation: local(), Roots: s.ca.Roots()})
		require.NoError(t, err)
		r, err := pades.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), &pades.VerifyOptions{Roots: s.ca.Roots(), At: later})
		require.NoError(t, err)
		assert.Equal(t, want, r.Verdict, "%s: %+v", level, r.Signatures)
		if level == pades.ProfileBB {
			assert.Contains(t, r.Reasons, pades.ReasonOutOfBoundsNoPOE)
		}
	}
}

// V11, V13: revocation without, before and after a proof of existence.
func TestRevocation(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	start := time.Now().Truncate(time.Second)
	now.Store(start.Unix())
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	s, _ := served(t, "ecdsa", clock)
	doc := formDoc().classic()
	signAs := func(p pades.Profile) []byte {
		spec := s.spec()
		spec.Profile = p
		return sign(t, doc, s, spec)
	}
	plain, stamped := signAs(pades.ProfileBB), signAs(pades.ProfileBT)
	judge := func(b []byte, at time.Time, source pades.RevocationSource) pades.SignatureReport {
		r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{Roots: s.ca.Roots(), At: at, Revocation: source})
		require.NoError(t, err)
		return r.Signatures[0]
	}
	got := judge(plain, start, nil)
	assert.Equal(t, []pades.Code{pades.ReasonTryLater}, got.Reasons, "it names a source, and there is no data")
	assert.Equal(t, pades.Passed, judge(plain, start, local()).Verdict)

	now.Store(start.Add(time.Hour).Unix())
	require.NoError(t, s.ca.RevokeLeaf(s.chain[0], 1))
	now.Store(start.Add(2 * time.Hour).Unix())
	after := start.Add(2 * time.Hour)
	assert.Equal(t, []pades.Code{pades.ReasonRevokedNoPOE}, judge(plain, after, local()).Reasons)
	assert.Equal(t, pades.Passed, judge(stamped, after, local()).Verdict, "signed while it was good")
}

// Missing material is refused, never a silent lower level (C7).
func TestAugment(t *testing.T) {
	t.Parallel()
	s, _ := served(t, "ecdsa", nil)
	doc := sign(t, formDoc().classic(), s, s.spec())
	r := func(b []byte) *bytes.Reader { return bytes.NewReader(b) }
	o := &pades.AugmentOptions{Timestamper: s.ca, Roots: s.ca.Roots()}
	_, err := pades.Augment(t.Context(), r(doc), int64(len(doc)), nil, pades.ProfileBLT, o)
	require.ErrorIs(t, err, pades.ErrRevocationMissing)
	_, err = pades.Augment(t.Context(), r(doc), int64(len(doc)), nil, pades.ProfileBB, o)
	require.ErrorIs(t, err, pades.ErrUsage)
	o.Revocation, o.VRI = local(), true
	var out bytes.Buffer
	res, err := pades.Augment(t.Context(), r(doc), int64(len(doc)), &out, pades.ProfileBLTA, o)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(out.Bytes(), doc), "old Contents is never touched")
	assert.Equal(t, int64(out.Len()), res.Size)
	report := verify(t, out.Bytes(), s)
	assert.Equal(t, pades.Passed, report.Verdict, "%+v", report.Signatures)
	assert.Equal(t, pades.ProfileBLTA, report.Signatures[0].Profile)
	require.Len(t, report.Signatures, 3, "a timestamp for b-t and one over the DSS")
	qpdfClean(t, save(t, "lta.pdf", out.Bytes()), "")

	t.Run("again", func(t *testing.T) {
		var twice bytes.Buffer
		_, err := pades.Augment(t.Context(), r(out.Bytes()), int64(out.Len()), &twice, pades.ProfileBLTA, o)
		require.NoError(t, err)
		report := verify(t, twice.Bytes(), s)
		assert.Equal(t, pades.Passed, report.Verdict, "%+v", report.Signatures)
		require.Len(t, report.Signatures, 4)
	})
	t.Run("certified P=1", func(t *testing.T) {
		spec := s.spec()
		spec.Certify = 1
		certified := sign(t, formDoc().streams(), s, spec)
		var out bytes.Buffer
		_, err := pades.Augment(t.Context(), r(certified), int64(len(certified)), &out, pades.ProfileBLTA, o)
		require.NoError(t, err)
		report := verify(t, out.Bytes(), s)
		assert.Equal(t, pades.Passed, report.Verdict, "%+v", report.Signatures)
	})
	t.Run("broken signature", func(t *testing.T) {
		bad := replaceOnce(t, doc, "Loan contract", "Gift contract")
		_, err := pades.Augment(t.Context(), r(bad), int64(len(bad)), nil, pades.ProfileBLTA, o)
		require.ErrorIs(t, err, pades.ErrUsage)
	})
}

// §7: what authorities do wrong, and what becomes of it.
func TestTSA(t *testing.T) {
	t.Parallel()
	s, url := served(t, "ecdsa", nil)
	sum := bytes.Repeat([]byte{7}, 32)
	serve := func(f http.HandlerFunc) string {
		srv := httptest.NewServer(f)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	html := serve(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>maintenance</html>")) })
	down := serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	slow := serve(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the server sees the client go only after that
		<-r.Context().Done()
	})
	// Answers with a good token about something else, and with a stale nonce.
	other, err := s.ca.Timestamp(t.Context(), "SHA-256", bytes.Repeat([]byte{8}, 32))
	require.NoError(t, err)
	same, err := s.ca.Timestamp(t.Context(), "SHA-256", sum)
	require.NoError(t, err)
	replay := func(token []byte) string {
		return serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/timestamp-reply")
			w.Write(response(token))
		})
	}
	huge := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(make([]byte, 1<<20))
	})
	tsa := strings.TrimSuffix(url, "/") + "/tsa"
	for name, c := range map[string]struct {
		urls []string
		want pades.Code
	}{
		"good":          {[]string{tsa}, ""},
		"fail-over":     {[]string{down, html, tsa}, ""},
		"down":          {[]string{down}, pades.ErrTSAFailed},
		"slow":          {[]string{slow}, pades.ErrTSAFailed},
		"HTML":          {[]string{html}, pades.ErrTSAFailed},
		"too large":     {[]string{huge}, pades.ErrTSAFailed},
		"wrong imprint": {[]string{replay(other)}, pades.ErrTSAInvalid},
		"wrong nonce":   {[]string{replay(same)}, pades.ErrTSAInvalid},
		"garbage":       {[]string{replay([]byte{0x30, 0})}, pades.ErrTSAInvalid},
		"no address":    {nil, pades.ErrUsage},
		"file address":  {[]string{"file:///etc/passwd"}, pades.ErrUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := time.Minute // machines are busy; only one authority is slow
			if name == "slow" {
				patience = 200 * time.Millisecond
			}
			c2 := &pades.TSA{URLs: c.urls, Timeout: patience, Retries: -1, Roots: s.ca.Roots()}
			token, err := c2.Timestamp(t.Context(), "SHA-256", sum)
			if c.want == "" {
				require.NoError(t, err)
				assert.NotEmpty(t, token)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

// response wraps a token into a granted TimeStampResp.
func response(token []byte) []byte {
	body := append([]byte{0x30, 3, 2, 1, 0}, token...)
	return append([]byte{0x30, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}

// W4: a token larger than its room makes Sign lay out again, once; a thing that
// is no token is refused.
func TestLargeToken(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	spec := s.spec()
	spec.Profile = pades.ProfileBT
	doc := formDoc().classic()
	signWith := func(stamp stamper) ([]byte, error) {
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, spec, s.key, &pades.FinishOptions{Timestamper: stamp})
		return out.Bytes(), err
	}
	out, err := signWith(func(ctx context.Context, digest string, sum []byte) ([]byte, error) {
		token, err := s.ca.Timestamp(ctx, digest, sum)
		if err != nil {
			return nil, err
		}
		return fatten(t, token), nil
	})
	require.NoError(t, err)
	r := verify(t, out, s)
	assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
	assert.NotNil(t, r.Signatures[0].Timestamp)
	_, err = signWith(func(ctx context.Context, digest string, sum []byte) ([]byte, error) {
		token, err := s.ca.Timestamp(ctx, digest, sum)
		return append(token, 0), err
	})
	require.ErrorIs(t, err, pades.ErrTSAInvalid)
}

// fatten returns a token with an unsigned attribute of 16 KiB. The signer's
// attributes go last in it: each element on the way is the last one of its kind.
func fatten(t *testing.T, token []byte) []byte {
	t.Helper()
	var b der.Builder
	var copied func(v der.Value, depth int)
	copied = func(v der.Value, depth int) {
		m := b.Begin(v.Tag)
		for c := v.Enter(); c.More(); {
			if e := c.Next(); depth > 0 && !c.More() {
				copied(e, depth-1)
			} else {
				b.Raw(e.Raw)
			}
		}
		if depth == 0 {
			attrs := b.Begin(der.Context(1) | der.Constructed)
			attr := b.Begin(der.Sequence)
			b.OID(cms.OIDContentType)
			values := b.Begin(der.Set)
			b.Octets(make([]byte, 16<<10))
			b.End(values)
			b.End(attr)
			b.End(attrs)
		}
		b.End(m)
	}
	v, err := der.Parse(token)
	require.NoError(t, err)
	copied(v, 4) // ContentInfo, [0], SignedData, signerInfos, SignerInfo
	return b.Bytes()
}

type stamper func(ctx context.Context, digest string, sum []byte) ([]byte, error)

func (f stamper) Timestamp(ctx context.Context, digest string, sum []byte) ([]byte, error) {
	return f(ctx, digest, sum)
}

// Fetchers refuse what is not public, as their addresses come from documents.
func TestFetcherRefusesPrivate(t *testing.T) {
	t.Parallel()
	s, _ := served(t, "ecdsa", nil)
	f := &pades.Fetcher{}
	_, err := f.OCSP(t.Context(), s.chain[0], s.chain[1])
	require.Error(t, err)
	assert.Contains(t, err.Error(), "not public")
	b, err := local().OCSP(t.Context(), s.chain[0], s.chain[1])
	require.NoError(t, err)
	assert.NotEmpty(t, b)
	none, err := f.OCSP(t.Context(), &x509.Certificate{}, s.chain[1])
	require.NoError(t, err)
	assert.Nil(t, none)
	var e *pades.Error
	assert.False(t, errors.As(err, &e))
}
