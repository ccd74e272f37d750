package pdf_test

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

// file builds a PDF by hand, so that tests know every byte.
type file struct {
	bytes.Buffer
	offs   map[int]int64
	packed map[int][2]int // number -> object stream, index
	fresh  []int          // written since the last section
	base   int64          // subtracted from offsets
	prev   int64
	size   int
}

func newFile(header string) *file {
	f := &file{offs: map[int]int64{}, packed: map[int][2]int{}, prev: -1}
	f.WriteString(header)
	return f
}

func (f *file) define(n int) {
	f.fresh = append(f.fresh, n)
	f.size = max(f.size, n+1)
}

func (f *file) obj(n int, body string) *file {
	f.define(n)
	delete(f.packed, n)
	f.offs[n] = int64(f.Len())
	fmt.Fprintf(f, "%d 0 obj\n%s\nendobj\n", n, body)
	return f
}

func (f *file) stream(n int, dict string, data []byte) *file {
	return f.obj(n, fmt.Sprintf("<<%s /Length %d>>\nstream\n%s\nendstream", dict, len(data), data))
}

// objstm writes an object stream n of the given objects.
func (f *file) objstm(n int, bodies map[int]string) *file {
	var head, data strings.Builder
	nums := make([]int, 0, len(bodies))
	for k := range bodies {
		nums = append(nums, k)
	}
	slices.Sort(nums)
	for i, k := range nums {
		fmt.Fprintf(&head, "%d %d ", k, data.Len())
		data.WriteString(bodies[k] + "\n")
		f.define(k)
		delete(f.offs, k)
		f.packed[k] = [2]int{n, i}
	}
	dict := fmt.Sprintf("/Type /ObjStm /N %d /First %d /Filter /FlateDecode", len(nums), head.Len())
	return f.stream(n, dict, deflated([]byte(head.String()+data.String())))
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// section returns the numbers written since the last section.
func (f *file) section() []int {
	slices.Sort(f.fresh)
	return slices.Compact(f.fresh)
}

// entries writes table subsections for the objects written since the last
// section; eol ends each line. Numbers in hide are written as free.
func (f *file) entries(eol string, hide ...int) {
	nums := f.section()
	if f.prev < 0 {
		nums = append([]int{0}, nums...)
	}
	for i := 0; i < len(nums); {
		j := i + 1
		for j < len(nums) && nums[j] == nums[j-1]+1 {
			j++
		}
		fmt.Fprintf(f, "%d %d\n", nums[i], j-i)
		for _, n := range nums[i:j] {
			off, ok := f.offs[n]
			switch {
			case n == 0:
				fmt.Fprintf(f, "%010d %05d f%s", 0, 65535, eol)
			case !ok || slices.Contains(hide, n):
				fmt.Fprintf(f, "%010d %05d f%s", 0, 0, eol)
			default:
				fmt.Fprintf(f, "%010d %05d n%s", off-f.base, 0, eol)
			}
		}
		i = j
	}
}

// table ends a revision with a classic table.
func (f *file) table(extra string) *file { return f.tableEOL(extra, " \n") }

func (f *file) tableEOL(extra, eol string, hide ...int) *file {
	at := int64(f.Len())
	f.WriteString("xref\n")
	f.entries(eol, hide...)
	fmt.Fprintf(f, "trailer\n<</Size %d %s", f.size, extra)
	if f.prev >= 0 {
		fmt.Fprintf(f, " /Prev %d", f.prev-f.base)
	}
	fmt.Fprintf(f, ">>\nstartxref\n%d\n%%%%EOF\n", at-f.base)
	f.prev, f.fresh = at, nil
	return f
}

// rows returns the data of a cross-reference stream for the given numbers.
func (f *file) rows(nums []int) (data []byte, index string) {
	for i, n := range nums {
		if i == 0 || nums[i-1] != n-1 {
			run := 1
			for i+run < len(nums) && nums[i+run] == n+run {
				run++
			}
			index += fmt.Sprintf("%d %d ", n, run)
		}
		t, a, b := 0, int64(0), 0
		if p, ok := f.packed[n]; ok {
			t, a, b = 2, int64(p[0]), p[1]
		} else if off, ok := f.offs[n]; ok {
			t, a = 1, off-f.base
		}
		data = append(data, byte(t), byte(a>>24), byte(a>>16), byte(a>>8), byte(a), byte(b))
	}
	return data, index
}

// xrefStream ends a revision with a cross-reference stream of number n, its
// rows predicted by PNG filter "up".
func (f *file) xrefStream(n int, extra string) *file {
	f.define(n)
	at := int64(f.Len())
	f.offs[n] = at
	data, index := f.rows(f.section())
	const row = 6
	var pred []byte
	for i := 0; i < len(data); i += row {
		pred = append(pred, 2)
		for j := range row {
			up := byte(0)
			if i > 0 {
				up = data[i-row+j]
			}
			pred = append(pred, data[i+j]-up)
		}
	}
	dict := fmt.Sprintf("/Type /XRef /W [1 4 1] /Index [%s] /Size %d %s /Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns %d>>", index, f.size, extra, row)
	if f.prev >= 0 {
		dict += fmt.Sprintf(" /Prev %d", f.prev-f.base)
	}
	f.stream(n, dict, deflated(pred))
	f.fresh = nil
	fmt.Fprintf(f, "startxref\n%d\n%%%%EOF\n", at-f.base)
	f.prev = at
	return f
}

const (
	catalog = "<</Type /Catalog /Pages 2 0 R>>"
	pages   = "<</Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 200 100]>>"
	page    = "<</Type /Page /Parent 2 0 R /Unknown#20Key [1.50 (a\\)b) <4142>] /Contents 4 0 R>>"
)

// simple returns a file with one page and a classic table.
func simple() *file {
	f := newFile("%PDF-1.7\n")
	return f.obj(1, catalog).obj(2, pages).obj(3, page).stream(4, "", []byte("0 0 m")).table("/Root 1 0 R /ID [<01> <02>] /Custom (kept)")
}

func open(t testing.TB, b []byte, o *pdf.Options) *pdf.Doc {
	t.Helper()
	d, err := pdf.Open(bytes.NewReader(b), int64(len(b)), o)
	require.NoError(t, err)
	return d
}

func build(t testing.TB, u *pdf.Update) []byte {
	t.Helper()
	inc, err := u.Build()
	require.NoError(t, err)
	return inc.Bytes
}

func source(t testing.TB, o pdf.Object) string {
	t.Helper()
	b, err := pdf.Source(o)
	require.NoError(t, err)
	return string(b)
}

func object(t testing.TB, d *pdf.Doc, num uint32) pdf.Object {
	t.Helper()
	o, err := d.Object(pdf.Ref{Num: num})
	require.NoError(t, err)
	return o
}
