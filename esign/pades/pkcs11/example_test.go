// Package pkcs11 shows signing with keys that never leave an HSM: whatever
// gives a crypto.Signer over PKCS#11 works, here crypto11 against SoftHSM.
// It is a module of its own, as the driver needs cgo.
//
// The test needs SoftHSM (Debian: softhsm2); SOFTHSM2_LIB names its library if
// that lies elsewhere than usual.
package pkcs11

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThalesGroup/crypto11"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/pdftest"
)

const onePage = "%PDF-1.7\n1 0 obj\n<</Type /Catalog /Pages 2 0 R>>\nendobj\n" +
	"2 0 obj\n<</Type /Pages /Kids [3 0 R] /Count 1>>\nendobj\n" +
	"3 0 obj\n<</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842]>>\nendobj\n" +
	"xref\n0 4\n0000000000 65535 f \n0000000009 00000 n \n0000000056 00000 n \n0000000111 00000 n \n" +
	"trailer\n<</Root 1 0 R /Size 4>>\nstartxref\n179\n%%EOF\n"

// library finds SoftHSM, "" if it is not there.
func library() string {
	for _, path := range []string{
		os.Getenv("SOFTHSM2_LIB"), "/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so",
	} {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	return ""
}

// token makes a token in a folder of its own and opens it.
func token(dir string) (*crypto11.Context, error) {
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return nil, err
	}
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "seals", "--pin", "1234", "--so-pin", "5678").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("softhsm2-util: %w: %s", err, out)
	}
	return crypto11.Configure(&crypto11.Config{Path: library(), TokenLabel: "seals", Pin: "1234"})
}

// Keys are generated in the HSM and stay there; pades gets a crypto.Signer.
func TestPKCS11(t *testing.T) {
	if library() == "" {
		if os.Getenv("COUNTERSIGN_VALIDATORS") == "required" {
			t.Fatal("SoftHSM not found: apt-get install -y softhsm2")
		}
		t.Skip("SoftHSM not found: apt-get install -y softhsm2")
	}
	hsm, err := token(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, hsm.Close()) })
	ca, err := devca.NewInsecure(nil)
	require.NoError(t, err)
	rsaKey, err := hsm.GenerateRSAKeyPair([]byte("rsa"), 2048)
	require.NoError(t, err)
	p256, err := hsm.GenerateECDSAKeyPair([]byte("p256"), elliptic.P256())
	require.NoError(t, err)
	p384, err := hsm.GenerateECDSAKeyPair([]byte("p384"), elliptic.P384())
	require.NoError(t, err)
	for _, c := range []struct {
		key  crypto.Signer
		alg  pades.Algorithm
		want string
	}{
		{rsaKey, "", "rsa-SHA-256"}, {rsaKey, pades.RSAPSS, "rsapss-SHA-256"}, {p256, "", "ecdsa-SHA-256"}, {p384, "", "ecdsa-SHA-384"},
	} {
		t.Run(c.want, func(t *testing.T) {
			chain, err := ca.Leaf(t.Context(), devca.LeafRequest{Name: "Zhang San", Key: c.key.Public()})
			require.NoError(t, err)
			var out bytes.Buffer
			doc := bytes.NewReader([]byte(onePage))
			_, err = pades.Sign(t.Context(), doc, doc.Size(), &out, pades.Spec{Chain: chain, Algorithm: c.alg}, c.key, &pades.FinishOptions{SelfCheck: true})
			require.NoError(t, err)
			r, err := pades.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), &pades.VerifyOptions{Roots: ca.Roots()})
			require.NoError(t, err)
			assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			assert.Equal(t, c.want, r.Signatures[0].Algorithm)
			openssl(t, out.Bytes(), ca)
		})
	}
}

// openssl checks a signature from the HSM without our code.
func openssl(t *testing.T, signed []byte, ca *devca.CA) {
	t.Helper()
	part := pdftest.Signatures(t, signed)[0]
	dir := t.TempDir()
	save := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, b, 0o600))
		return path
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Roots()[0].Raw})
	said, code := pdftest.Tool(t, "openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", save("s.der", part.CMS),
		"-content", save("s.bin", part.Content), "-CAfile", save("ca.pem", root), "-purpose", "any", "-out", os.DevNull)
	assert.Zero(t, code, said)
	assert.Contains(t, said, "CAdES Verification successful")
}

// A key that lies in an HSM under a label signs as any other.
func Example() {
	hsm, err := crypto11.Configure(&crypto11.Config{Path: library(), TokenLabel: "seals", Pin: os.Getenv("HSM_PIN")})
	if err != nil {
		log.Fatal(err)
	}
	defer hsm.Close()
	key, err := hsm.FindKeyPair(nil, []byte("contracts"))
	if err != nil || key == nil {
		log.Fatal("no such key: ", err)
	}
	file, err := os.ReadFile("chain.pem")
	if err != nil {
		log.Fatal(err)
	}
	chain, err := pades.ParseCertificates(file)
	if err != nil {
		log.Fatal(err)
	}
	var signed bytes.Buffer
	doc := strings.NewReader(onePage)
	if _, err := pades.Sign(context.Background(), doc, doc.Size(), &signed, pades.Spec{Chain: chain}, key, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(signed.Len())
}
