package evidence

import (
	"bytes"
	"fmt"
	"io"
	"sort"
)

// addReports puts the report, in both languages, among the entries of a bundle: made of
// the bundle as it is without them, and made again from the bundle that has them by
// [WriteReport] with ReportOptions.Inside.
func (l *Log) addReports(m manifest, sources []*source, o ReportOptions) ([]*source, error) {
	list, err := l.listed(&m, sources)
	if err != nil {
		return nil, err
	}
	inner, err := layOut(list)
	if err != nil {
		return nil, err
	}
	for _, lang := range []string{LangChinese, LangEnglish} {
		o.Lang, o.Inside = lang, true
		var b bytes.Buffer
		if err := WriteReport(&b, inner, inner.size, &o); err != nil {
			return nil, fmt.Errorf("evidence: report in the bundle: %w", err)
		}
		sources = append(sources, sourceOf(reportPath(lang), b.Bytes()))
	}
	return sources, nil
}

func reportPath(lang string) string { return "report." + lang + ".pdf" }

// A layout is a container that is read without being written.
type layout struct {
	parts []io.ReaderAt
	ends  []int64 // where each ends
	size  int64
}

// layOut arranges measured sources, in the order that sortSources gave them.
func layOut(list []*source) (*layout, error) {
	x := &layout{}
	add := func(r io.ReaderAt, n int64) {
		x.size += n
		x.parts, x.ends = append(x.parts, r), append(x.ends, x.size)
	}
	sortSources(list)
	var central []byte
	for _, s := range list {
		e := entry{name: s.name, crc: s.crc, size: s.size}
		central = e.central(central, x.size)
		head := e.local(nil)
		add(bytes.NewReader(head), int64(len(head)))
		if s.size > 0 {
			add(s.body, s.size)
		}
	}
	at := x.size
	tail := append(central, endRecord(len(list), int64(len(central)), at)...)
	add(bytes.NewReader(tail), int64(len(tail)))
	if x.size > maxContainer || len(list) > maxEntries {
		return nil, ErrTooLarge
	}
	return x, nil
}

// ReadAt implements io.ReaderAt.
func (x *layout) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 || off >= x.size {
		return 0, io.EOF
	}
	for i := sort.Search(len(x.ends), func(i int) bool { return x.ends[i] > off }); i < len(x.parts) && n < len(b); i++ {
		from := int64(0)
		if i > 0 {
			from = x.ends[i-1]
		}
		k := min(int64(len(b)-n), x.ends[i]-off)
		got, err := x.parts[i].ReadAt(b[n:int64(n)+k], off-from)
		n, off = n+got, off+int64(got)
		if int64(got) < k {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}
