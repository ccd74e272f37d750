package ers_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/ers"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/internal/tsp"
)

// An authority issues a new certificate whenever it is told to.
type authority struct {
	*tsp.Responder
	t       testing.TB
	now     time.Time
	rootKey *ecdsa.PrivateKey
	root    *x509.Certificate
	serial  int64
}

func newAuthority(t testing.TB, start time.Time) *authority {
	a := &authority{t: t, now: start, serial: 1}
	var err error
	a.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root TEST ONLY"}, NotBefore: start.AddDate(-1, 0, 0),
		NotAfter: start.AddDate(100, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, x, x, a.rootKey.Public(), a.rootKey)
	require.NoError(t, err)
	a.root, err = x509.ParseCertificate(raw)
	require.NoError(t, err)
	a.Responder = &tsp.Responder{Now: func() time.Time { return a.now }}
	a.fresh(2)
	return a
}

// fresh gives the authority a certificate for so many years.
func (a *authority) fresh(years int) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	require.NoError(a.t, err)
	a.serial++
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: "TSA TEST ONLY"},
		NotBefore: a.now.Add(-time.Hour), NotAfter: a.now.AddDate(years, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}}, a.root, key.Public(), a.rootKey)
	require.NoError(a.t, err)
	leaf, err := x509.ParseCertificate(raw)
	require.NoError(a.t, err)
	a.Key, a.Chain = key, []*x509.Certificate{leaf}
}

func (a *authority) later(years, days int) {
	a.now = a.now.AddDate(years, 0, days)
	a.fresh(2)
}

func objects(n int) (out [][]byte) {
	for i := range n {
		out = append(out, fmt.Appendf(nil, "object %d of %d", i, n))
	}
	return out
}

// A life of a record: begun, renewed within its certificates' lives, carried to
// another hash, renewed again.
func life(t testing.TB, a *authority, n int) (list [][]byte, steps [][][]byte) {
	ctx, data := context.Background(), objects(n)
	list, err := ers.Start(ctx, a, "SHA-256", data)
	require.NoError(t, err)
	steps = append(steps, list)
	a.later(1, 180)
	list, err = ers.RenewTimestamps(ctx, a, list)
	require.NoError(t, err)
	steps = append(steps, list)
	a.later(1, 180)
	list, err = ers.RenewHash(ctx, a, "SHA-512", list, data)
	require.NoError(t, err)
	steps = append(steps, list)
	a.later(1, 180)
	list, err = ers.RenewTimestamps(ctx, a, list)
	require.NoError(t, err)
	return list, append(steps, list)
}

func TestT13RenewalLife(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 7, 8, 20} {
		a := newAuthority(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		o := ers.Options{Roots: []*x509.Certificate{a.root}}
		_, steps := life(t, a, n)
		for k, list := range steps {
			for i, raw := range list {
				stamps, err := ers.Verify(raw, objects(n)[i], o)
				require.NoError(t, err, "%d objects, step %d", n, k)
				require.Len(t, stamps, k+1)
				assert.Equal(t, k/2, stamps[k].Chain)
				_, err = ers.Verify(raw, []byte("another object"), o)
				require.ErrorIs(t, err, ers.ErrRecord)
				_, err = ers.Verify(raw, objects(n)[i], ers.Options{})
				require.ErrorIs(t, err, ers.ErrUntrusted)
				if k > 0 {
					assert.True(t, stamps[k].Time.After(stamps[0].Expires) == (k > 1), "it outlives its first certificate")
				}
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a := newAuthority(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	o := ers.Options{Roots: []*x509.Certificate{a.root}}
	data := objects(8)
	list, err := ers.Start(ctx, a, "SHA-256", data)
	require.NoError(t, err)
	refused := func(what string, raw []byte, o ers.Options) {
		t.Helper()
		_, err := ers.Verify(raw, data[0], o)
		assert.ErrorIs(t, err, ers.ErrRecord, what)
	}
	refused("the certificate has ended", list[0], ers.Options{Roots: o.Roots, At: a.now.AddDate(3, 0, 0)})
	refused("of another object, not its neighbour in the tree", list[5], o)
	other := newAuthority(t, a.now)
	_, err = ers.Verify(list[0], data[0], ers.Options{Roots: []*x509.Certificate{other.root}})
	assert.ErrorIs(t, err, ers.ErrUntrusted, "another root")
	first, now := list, a.now
	a.later(3, 0)
	late, err := ers.RenewTimestamps(ctx, a, first)
	require.NoError(t, err)
	refused("renewed too late", late[0], o)
	a.now = now.AddDate(0, 0, -1)
	a.fresh(2)
	early, err := ers.RenewTimestamps(ctx, a, first)
	require.NoError(t, err)
	refused("renewed before it was made", early[0], o)
	a.now = now.AddDate(1, 0, 0)
	a.fresh(2)
	wrong, err := ers.RenewHash(ctx, a, "SHA-512", first, append(slices.Clone(data[1:]), data[0]))
	require.NoError(t, err)
	refused("hash renewal over another object", wrong[0], o)
	_, err = ers.RenewHash(ctx, a, "SHA-512", first, data[:2])
	require.ErrorIs(t, err, ers.ErrRecord)
	_, err = ers.FromToken([]byte("x"))
	require.ErrorIs(t, err, ers.ErrRecord)
	refused("empty", nil, o)
	refused("too large", make([]byte, ers.MaxSize+1), o)
	broken := errors.New("down")
	_, err = ers.Start(ctx, stamper(func() ([]byte, error) { return nil, broken }), "SHA-256", data)
	require.ErrorIs(t, err, broken)
	_, err = ers.Start(ctx, stamper(func() ([]byte, error) { return []byte("x"), nil }), "SHA-256", data)
	require.Error(t, err, "an answer that proves nothing")
}

type stamper func() ([]byte, error)

func (f stamper) Timestamp(context.Context, string, []byte) ([]byte, error) { return f() }

// Whatever bits of a record are changed, it proves the object no more, or it is in
// bytes that no timestamp covers and nothing is read from, such as certificates
// that a token brings along.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	o := ers.Options{Roots: []*x509.Certificate{a.root}}
	list, _ := life(t, a, 3)
	raw := list[0]
	want, err := ers.Verify(raw, objects(3)[0], o)
	require.NoError(t, err)
	loose := 0
	tried := 0
	for i := 0; i < len(raw); i += 7 {
		tried++
		x := bytes.Clone(raw)
		x[i] ^= 1 << (i % 8)
		got, err := ers.Verify(x, objects(3)[0], o)
		if err == nil {
			// Only the last token can be loose: all others are covered by the next.
			loose++
			assert.Equal(t, want[:len(want)-1], got[:len(got)-1])
			assert.Equal(t, want[len(want)-1].Time, got[len(got)-1].Time)
		}
	}
	assert.Less(t, loose, tried/20)
}

func FuzzVerify(f *testing.F) {
	a := newAuthority(f, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	_, steps := life(f, a, 3)
	for _, list := range steps {
		f.Add(list[0])
	}
	o := ers.Options{Roots: []*x509.Certificate{a.root}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ers.Verify(b, []byte("never stamped"), o); !errors.Is(err, ers.ErrRecord) {
			t.Fatalf("an object that nobody stamped: %v", err)
		}
	})
}

func java(t testing.TB, args ...string) string {
	t.Helper()
	pdftest.Need(t, "java")
	var jars []string
	for _, name := range []string{"bcpkix", "bcprov", "bcutil"} {
		jar := filepath.Join("/usr/share/java", name+".jar")
		if _, err := os.Stat(jar); err != nil {
			pdftest.Missing(t, "java")
		}
		jars = append(jars, jar)
	}
	out, code := pdftest.Tool(t, "java", append([]string{"-cp", strings.Join(jars, string(os.PathListSeparator)), filepath.Join("testdata", "ERS.java")}, args...)...)
	require.Zero(t, code, out)
	return out
}

// Bouncy Castle verifies what we write: begun, renewed, carried to another hash.
func TestBouncyCastleReadsOurs(t *testing.T) {
	pdftest.Need(t, "java")
	dir := t.TempDir()
	args := []string{"check"}
	want := ""
	for _, n := range []int{1, 2, 3, 5, 8} {
		// Its own check is against today.
		a := newAuthority(t, time.Now().AddDate(-5, 0, 0))
		_, steps := life(t, a, n)
		for k, list := range steps {
			for i, raw := range list {
				record, object := filepath.Join(dir, fmt.Sprintf("%d-%d-%d.er", n, k, i)), filepath.Join(dir, fmt.Sprintf("%d-%d.object", n, i))
				require.NoError(t, os.WriteFile(record, raw, 0o644))
				require.NoError(t, os.WriteFile(object, objects(n)[i], 0o644))
				args = append(args, record, object)
				want += "ok\n"
			}
		}
	}
	// It can also say no: a record with the object of another.
	args = append(args, args[len(args)-2], filepath.Join(dir, "1-0.object"))
	out := java(t, args...)
	assert.Equal(t, strings.Count(want, "ok"), strings.Count(out, "ok\n"), out)
	assert.Equal(t, 1, strings.Count(out, "bad: "), out)
	t.Logf("Bouncy Castle verified %d records of ours and refused the wrong one", strings.Count(out, "ok\n"))
}

// We verify what Bouncy Castle writes.
func TestWeReadBouncyCastle(t *testing.T) {
	pdftest.Need(t, "java")
	dir := t.TempDir()
	java(t, "make", dir)
	root, err := cms.ParseCertificate(must(os.ReadFile(filepath.Join(dir, "root.der"))))
	require.NoError(t, err)
	o := ers.Options{Roots: []*x509.Certificate{root}}
	seen := 0
	for k, step := range []string{"first", "again", "hash", "last"} {
		files := must(filepath.Glob(filepath.Join(dir, "*."+step)))
		require.Len(t, files, 19)
		for _, f := range files {
			raw := must(os.ReadFile(f))
			object := must(os.ReadFile(strings.TrimSuffix(f, step) + "object"))
			stamps, err := ers.Verify(raw, object, o)
			require.NoError(t, err, filepath.Base(f))
			assert.Len(t, stamps, k+1)
			_, err = ers.Verify(raw, append(object, '!'), o)
			require.ErrorIs(t, err, ers.ErrRecord)
			seen++
		}
	}
	t.Logf("we verified %d records of Bouncy Castle", seen)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
