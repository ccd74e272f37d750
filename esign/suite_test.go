package esign_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// P07: SM4-GCM answers the example of its standard (RFC 8998 appendix A.1).
func TestSuite_P07_SM4KnownAnswer(t *testing.T) {
	t.Parallel()
	s := esign.SM4Suite()
	key, nonce := unhex(t, "0123456789abcdeffedcba9876543210"), unhex(t, "00001234567800000000abcd")
	plain := unhex(t, "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa")
	aad := unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2")
	want := "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" +
		"83de3541e4c2b58177e065a9bf7b62ec"
	a, err := s.New(key[:s.KeySize])
	require.NoError(t, err)
	require.Equal(t, 12, a.NonceSize())
	require.Equal(t, 16, a.Overhead())
	assert.Equal(t, want, hex.EncodeToString(a.Seal(nil, nonce, plain, aad)))
	got, err := a.Open(nil, nonce, unhex(t, want), aad)
	require.NoError(t, err)
	assert.Equal(t, plain, got)
	for i := range 80 {
		x := unhex(t, want)
		x[i] ^= 1
		_, err := a.Open(nil, nonce, x, aad)
		require.Error(t, err, "byte %d", i)
	}
	_, err = a.Open(nil, nonce, unhex(t, want), aad[1:])
	require.Error(t, err)
	for _, n := range []int{0, 15, 17, 32} {
		_, err := s.New(make([]byte, n))
		require.Error(t, err, "a key of %d bytes", n)
	}
}

// Another implementation makes the same ciphertext: GCM is the counter mode from
// counter 2 on (NIST SP 800-38D §7.1), which the openssl command knows.
func TestSuite_P07_SM4AgreesWithOpenSSL(t *testing.T) {
	t.Parallel()
	pdftest.Need(t, "openssl")
	key, nonce := bytes.Repeat([]byte{7, 200}, 8), []byte("twelve bytes")
	plain := bytes.Repeat([]byte("13800138000 李小明 "), 97)
	c := exec.CommandContext(t.Context(), "openssl", "enc", "-sm4-ctr", "-K", hex.EncodeToString(key), "-iv", hex.EncodeToString(append(bytes.Clone(nonce), 0, 0, 0, 2)))
	c.Stdin = bytes.NewReader(plain)
	want, err := c.Output()
	if err != nil {
		t.Log("this openssl has no SM4")
		pdftest.Missing(t, "openssl")
	}
	a, err := esign.SM4Suite().New(key)
	require.NoError(t, err)
	got := a.Seal(nil, nonce, plain, nil)
	assert.Equal(t, want, got[:len(plain)])
}

// P07: a vault seals under SM4, reads what AES sealed before, and nobody without the
// suite reads what it sealed.
func TestSuite_P07_VaultUnderSM4(t *testing.T) {
	t.Parallel()
	store, root := new(storage.Mem), privacy.InsecureMemoryKey()
	open := func(s privacy.Suite) (*privacy.Vault, context.Context) {
		v, err := privacy.New(privacy.Config{Root: root, Store: store, Suite: s})
		require.NoError(t, err)
		require.NoError(t, v.Unlock(t.Context(), tenant))
		return v, v.As(t.Context(), privacy.Accessor{Tenant: tenant, Account: "clerk"})
	}
	put := func(v *privacy.Vault, ctx context.Context, who, number string) privacy.Ref {
		p, err := privacy.NewPhone(number)
		require.NoError(t, err)
		ref, err := v.Put(ctx, privacy.Subject{Tenant: tenant, ID: who}, privacy.FieldPhone, p)
		require.NoError(t, err)
		return ref
	}
	read := func(v *privacy.Vault, ctx context.Context, ref privacy.Ref) (string, error) {
		x, err := v.Reveal(ctx, ref, privacy.PurposeSigning)
		if err != nil {
			return "", err
		}
		p, ok := x.(privacy.Phone)
		require.True(t, ok)
		return p.Reveal(ctx, privacy.PurposeSigning)
	}
	aes, actx := open(privacy.Suite{})
	old := put(aes, actx, "li", "13800138000")
	sm4, sctx := open(esign.SM4Suite())
	fresh := put(sm4, sctx, "wang", "13900139000")
	for ref, want := range map[privacy.Ref]string{old: "13800138000", fresh: "13900139000"} {
		got, err := read(sm4, sctx, ref)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	got, err := read(aes, actx, old)
	require.NoError(t, err)
	assert.Equal(t, "13800138000", got)
	_, err = read(aes, actx, fresh)
	require.ErrorIs(t, err, privacy.ErrKey)
	names := map[string]int{}
	for r, err := range storage.Scan(t.Context(), store, tenant, "privacy.value", "") {
		require.NoError(t, err)
		for _, id := range []string{"sm4gcm", "aes256gcm"} {
			raw := r.Data
			for _, enc := range spellings(id) {
				if bytes.Contains(raw, []byte(enc)) {
					names[id]++
					break
				}
			}
		}
	}
	assert.Equal(t, map[string]int{"sm4gcm": 1, "aes256gcm": 1}, names)
}
