package pades_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/pdftest"
)

// §10: no file costs more than 5 s or 256 MB, whatever is asked of it. A process
// of its own does it all, so that its peak is that of the worst file; processor
// time is what counts, as machines are busy.
func TestCorpusCost(t *testing.T) {
	t.Parallel()
	corpus(t)
	if pdftest.Bound(1) != 1 {
		t.Skip("the race detector costs memory of its own")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestChildCost$", "-test.v")
	cmd.Env = append(os.Environ(), "COUNTERSIGN_CHILD_COST=1")
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	_, rest, ok := strings.Cut(string(b), "peak ")
	require.True(t, ok, string(b))
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	assert.Less(t, kb, 256<<10)
	t.Logf("peak %s", strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]))
}

// TestChildCost asks everything of every file.
func TestChildCost(t *testing.T) {
	if os.Getenv("COUNTERSIGN_CHILD_COST") == "" {
		t.Skip("runs as a child of TestCorpusCost")
	}
	dir, s := corpus(t), newSigner(t, "ecdsa")
	var worst time.Duration
	var which string
	files := 0
	ask := func(name, password string, b []byte) {
		start := cpuTime(t)
		r, n := bytes.NewReader(b), int64(len(b))
		for _, insecure := range []bool{false, true} {
			open := &pades.OpenOptions{Password: password, InsecureSignRepaired: insecure}
			spec := s.spec()
			spec.Open = open
			_, _ = pades.Sign(t.Context(), r, n, nil, spec, s.key, nil)
			_, _ = pades.Verify(t.Context(), r, n, &pades.VerifyOptions{Open: open, Roots: s.ca.Roots()})
			_, _ = pades.Fields(t.Context(), r, n, open)
			_, _ = pades.Pages(t.Context(), r, n, open)
			_, _ = pades.FindText(t.Context(), r, n, "signature", open)
		}
		cost := cpuTime(t) - start
		assert.Less(t, cost, 2*5*time.Second, name) // all of it twice
		if cost > worst {
			worst, which = cost, name
		}
		files++
	}
	for name, b := range costly(t, s) {
		ask(name, "", b)
	}
	for _, category := range []string{"malformed", "encrypted", "attack", "signed", "plain"} {
		for _, e := range manifest(t, category) {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.Path)))
			require.NoError(t, err)
			ask(e.Path, e.Password, b)
		}
	}
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	require.True(t, ok)
	t.Logf("peak %s kB over %d files, longest %v for %s", strings.Fields(rest)[0], files, worst.Round(time.Millisecond), filepath.Base(which))
}

// costly makes documents that ask for the square of their size.
func costly(t *testing.T, s signer) map[string][]byte {
	t.Helper()
	doc := sign(t, formDoc().classic(), s, s.spec())
	fields, chains := formDoc(), map[int]string{}
	var list strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&list, "%d 0 R ", len(fields.objects)+1)
		fields.objects = append(fields.objects, fmt.Sprintf("<< /FT /Sig /T (f%d) /V << /Type /Sig >> >>", i))
		chains[300+i] = fmt.Sprintf("[%d 0 R %d 0 R 300 0 R]", 301+i, 302+i)
	}
	fields.objects[5] = "<< /Fields [" + list.String() + "] >>"
	linked := revise(t, doc, "", chains)
	for i, o := range chains {
		chains[i] = strings.Replace(o, "300 0", "301 0", 1)
	}
	var notes, certs, hidden, pages strings.Builder
	data, empty, leaves := map[int]string{}, map[int]string{}, map[int]string{}
	for i := range 5_000 {
		fmt.Fprintf(&notes, "<< /Subtype /Text /X %d >> ", i)
		fmt.Fprintf(&certs, "%d 0 R ", 30_000-i)
		fmt.Fprintf(&hidden, "%d 0 R ", 30_000+i)
		fmt.Fprintf(&pages, "%d 0 R ", 40_000+i)
		data[25_001+i] = stream("", fmt.Sprint("certificate ", i))
		empty[30_000+i] = fmt.Sprintf("<< /FT /Sig /T (h%d) /Type /Annot /Subtype /Widget /Rect [-9 -9 -1 -1] /P 3 0 R >>", i)
		leaves[40_000+i] = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 5 5] >>"
	}
	noted := disguiseDoc("/DSS << /Certs ["+certs.String()+"] >> /AcroForm 5 0 R", "/Annots ["+notes.String()+"]", "<< /Fields [] >>")
	noted.objects[1] = "<< /Type /Pages /Kids [3 0 R " + pages.String() + "] /Count 5001 >>"
	several := sign(t, revise(t, revise(t, noted.classic(), "", data), "", leaves), s, s.spec())
	empty[5] = strings.Replace(newest(t, several, 5), "[", "["+hidden.String(), 1)
	revisions := doc
	for range 1500 {
		all := startxrefPattern.FindSubmatch(revisions[len(revisions)-40:])
		revisions = fmt.Appendf(revisions, "xref\n60 1\n0000000000 00000 f \ntrailer\n<< /Size 200 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n", all[1], len(revisions))
	}
	return map[string][]byte{
		"signed fields":        fields.classic(),
		"chains of references": revise(t, linked, "", chains),
		"revisions":            revisions,
		"direct annotations":   revise(t, several, "", map[int]string{3: strings.ReplaceAll(pageOf(t, several), "/X", "/Y")}),
		"validation data":      revise(t, several, "", map[int]string{1: strings.Replace(catalogOf(t, several), "/Certs [", "/Certs ["+hidden.String(), 1)}),
		"hidden fields":        revise(t, several, "", empty),
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
