package pades_test

import (
	"crypto/elliptic"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

// §9, the last column: LibreOffice is large and so no part of the gate; where it
// is installed (libreoffice-draw-nogui, python3-uno) it is asked.
func TestLibreOffice(t *testing.T) {
	t.Parallel()
	const python = "/usr/bin/python3" // the one that has uno
	if _, err := exec.LookPath("soffice"); err != nil {
		t.Skip("soffice not found: apt-get install -y --no-install-recommends libreoffice-draw-nogui python3-uno")
	}
	if out, err := exec.Command(python, "-c", "import uno").CombinedOutput(); err != nil {
		t.Skipf("python3-uno not found: %s", out)
	}
	dir := t.TempDir()
	args := []string{filepath.Join("testdata", "libreoffice.py")}
	var want []string
	add := func(name string, b []byte, lines ...string) {
		path := filepath.Join(dir, name+".pdf")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		args = append(args, path)
		for _, line := range lines {
			want = append(want, fmt.Sprintf("%s.pdf: %s", name, line))
		}
	}
	const valid = "valid=True partial=False" // an earlier revision is whole to it
	rsa, ec := newSigner(t, "rsa"), newSigner(t, "ecdsa")
	doc := formDoc().classic()
	add("rsa", sign(t, doc, rsa, rsa.spec()), valid)
	spec := rsa.spec()
	spec.Algorithm = pades.RSAPSS
	add("rsapss", sign(t, doc, rsa, spec), valid)
	spec = rsa.spec()
	spec.Profile = pades.ProfileCMS
	add("cms", sign(t, doc, rsa, spec), valid)
	spec = ec.spec()
	spec.Certify = 2
	certified := sign(t, doc, ec, spec)
	add("certified", certified, valid)
	add("second", sign(t, certified, ec, ec.spec()), valid, valid)
	p521 := curve(t, elliptic.P521())
	add("p521", sign(t, doc, p521, p521.spec()), valid)
	spec = ec.spec()
	spec.Profile = pades.ProfileBT
	add("b-t", sign(t, doc, ec, spec), valid)
	out, code := tool(t, python, args...)
	require.Zero(t, code, out)
	for _, line := range want {
		assert.Contains(t, out, line+"\n", out)
	}
}
