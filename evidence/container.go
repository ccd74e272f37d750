package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// The container is the plainest zip there is: entries stored, in the byte order
// of their ASCII names, dated 1980-01-01, without extra fields, comments,
// descriptors, directories or anything between, before or behind them. Given
// its entries there is one such file, and the reader builds it again to
// compare. So every program can open a bundle and none can hide bytes in it.
const (
	maxEntries   = 65535
	maxContainer = 1<<32 - 1
	maxEntryName = 200

	localSize, centralSize, endSize        = 30, 46, 22
	localSig, centralSig, endSig           = 0x04034b50, 0x02014b50, 0x06054b50
	zipNeeded, zipMade, zipDate     uint16 = 10, 20, 1<<5 | 1
)

// An entry is a file in a container.
type entry struct {
	name string
	alt  string // what the other of the two headers calls it, if that differs
	crc  uint32
	size int64
	at   int64 // where its data begins
}

func validEntryName(s string) bool {
	if s == "" || len(s) > maxEntryName || s[0] == '/' || strings.HasSuffix(s, "/") || strings.Contains(s, "..") || strings.Contains(s, "//") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/", rune(c)) {
			return false
		}
	}
	return true
}

func (e *entry) local(dst []byte) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, localSig)
	dst = le.AppendUint16(dst, zipNeeded)
	dst = append(dst, 0, 0, 0, 0, 0, 0) // flags, method (stored), time
	dst = le.AppendUint16(dst, zipDate)
	dst = le.AppendUint32(dst, e.crc)
	dst = le.AppendUint32(dst, uint32(e.size))
	dst = le.AppendUint32(dst, uint32(e.size))
	dst = le.AppendUint16(dst, uint16(len(e.name)))
	dst = le.AppendUint16(dst, 0)
	return append(dst, e.name...)
}

func (e *entry) central(dst []byte, at int64) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, centralSig)
	dst = le.AppendUint16(dst, zipMade)
	dst = le.AppendUint16(dst, zipNeeded)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	dst = le.AppendUint16(dst, zipDate)
	dst = le.AppendUint32(dst, e.crc)
	dst = le.AppendUint32(dst, uint32(e.size))
	dst = le.AppendUint32(dst, uint32(e.size))
	dst = le.AppendUint16(dst, uint16(len(e.name)))
	dst = append(dst, make([]byte, 12)...) // extra, comment, disk, attributes
	dst = le.AppendUint32(dst, uint32(at))
	return append(dst, e.name...)
}

func endRecord(n int, size, at int64) []byte {
	le := binary.LittleEndian
	dst := le.AppendUint32(nil, endSig)
	dst = append(dst, 0, 0, 0, 0)
	dst = le.AppendUint16(dst, uint16(n))
	dst = le.AppendUint16(dst, uint16(n))
	dst = le.AppendUint32(dst, uint32(size))
	dst = le.AppendUint32(dst, uint32(at))
	return append(dst, 0, 0)
}

// A source is a file on its way into a container. It is read twice.
type source struct {
	name   string
	body   io.ReaderAt
	size   int64
	digest Digest
	crc    uint32
	bytes  []byte // body, where it is in memory
}

func sourceOf(name string, b []byte) *source {
	return &source{name: name, body: bytes.NewReader(b), size: int64(len(b)), bytes: b}
}

// measure reads the source to know its digests before its header is written.
func (s *source) measure() error {
	d, crc := newDigester(), crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(d, crc), io.NewSectionReader(s.body, 0, s.size))
	if err != nil {
		return fmt.Errorf("evidence: read %s: %w", s.name, err)
	}
	if n != s.size {
		return fmt.Errorf("evidence: read %s: %w", s.name, io.ErrUnexpectedEOF)
	}
	s.digest, s.crc = d.sum(), crc.Sum32()
	return nil
}

// writeContainer writes measured sources in order and returns the size.
func writeContainer(w io.Writer, list []*source) (int64, error) {
	sortSources(list)
	total := int64(endSize)
	for i, s := range list {
		if !validEntryName(s.name) || i > 0 && list[i-1].name == s.name {
			return 0, fmt.Errorf("evidence: bundle entry name %q", s.name)
		}
		total += localSize + centralSize + 2*int64(len(s.name)) + s.size
		if s.size < 0 || total > maxContainer || total < 0 {
			return 0, ErrTooLarge
		}
	}
	if len(list) > maxEntries {
		return 0, ErrTooLarge
	}
	pos := int64(0)
	var central []byte
	for _, s := range list {
		e := entry{name: s.name, crc: s.crc, size: s.size}
		head := e.local(nil)
		central = e.central(central, pos)
		if _, err := w.Write(head); err != nil {
			return 0, err
		}
		// The second reading must find the bytes of the first.
		sum := crc32.NewIEEE()
		n, err := io.Copy(io.MultiWriter(w, sum), io.NewSectionReader(s.body, 0, s.size))
		if err != nil {
			return 0, fmt.Errorf("evidence: write %s: %w", s.name, err)
		}
		if n != s.size || sum.Sum32() != s.crc {
			return 0, fmt.Errorf("evidence: %s changed while it was read", s.name)
		}
		pos += int64(len(head)) + s.size
	}
	if _, err := w.Write(central); err != nil {
		return 0, err
	}
	if _, err := w.Write(endRecord(len(list), int64(len(central)), pos)); err != nil {
		return 0, err
	}
	return total, nil
}

// A container is an opened bundle.
type container struct {
	r       io.ReaderAt
	size    int64
	entries []entry
	byName  map[string]int
	err     error // the first that reading met
}

// openContainer finds the entries of a bundle even where a header is damaged,
// and says in faults what is not as the writer wrote it, entry by entry. Only
// what cannot be a bundle at all is an error.
func openContainer(r io.ReaderAt, size int64) (*container, []Check, error) {
	if size < endSize || size > maxContainer {
		return nil, nil, fmt.Errorf("%w: size", ErrUnreadable)
	}
	c := &container{r: r, size: size, byName: map[string]int{}}
	var faults []Check
	fail := func(path, detail string) {
		faults = append(faults, Check{Code: CodeContainer, Verdict: Failed, Path: path, Detail: detail})
	}
	central, local := c.readCentral(), c.readLocal()
	if len(central) > 0 && (sameShape(central, local) || c.sound(central) == len(central)) {
		c.entries = central
		for i := range min(len(local), len(central)) {
			if local[i].name != central[i].name && local[i].at == central[i].at {
				c.entries[i].alt = local[i].name
			}
		}
	} else if c.entries = c.salvage(); c.sound(c.entries) < c.sound(central) {
		c.entries = central
	}
	if len(c.entries) == 0 {
		return c, nil, fmt.Errorf("%w: no entries", ErrUnreadable)
	}
	// Build it again and compare. Whatever is out of place is named once: what
	// follows is looked for behind it.
	pos := int64(0)
	var dir []byte
	for i := range c.entries {
		e := &c.entries[i]
		if !validEntryName(e.name) {
			fail(e.name, "name")
		}
		if e.alt != "" {
			fail(e.name, "two names")
		}
		if i > 0 && c.entries[i-1].name >= e.name {
			fail(e.name, "order of entries")
		}
		head := e.local(nil)
		dir = e.central(dir, pos)
		if got := c.bytes(e.at-int64(len(head)), int64(len(head))); !bytes.Equal(got, head) {
			fail(e.name, "local header")
		}
		if e.at != pos+int64(len(head)) {
			fail(e.name, "position")
		}
		pos = e.at + e.size
	}
	for _, name := range c.index() {
		fail(name, "twice")
	}
	if got := c.bytes(pos, min(int64(len(dir)), max(0, c.size-pos))); !bytes.Equal(got, dir) {
		// Name the entry whose directory record differs.
		name, off := "", 0
		for i := range c.entries {
			n := centralSize + len(c.entries[i].name)
			if len(got) > 0 && (off+n > len(got) || !bytes.Equal(got[off:off+n], dir[off:off+n])) {
				name = c.entries[i].name
				break
			}
			off += n
		}
		fail(name, "directory")
	}
	end := endRecord(len(c.entries), int64(len(dir)), pos)
	if !bytes.Equal(c.bytes(pos+int64(len(dir)), endSize), end) {
		fail("", "end record")
	}
	if pos+int64(len(dir))+endSize != size {
		fail("", "stray bytes")
	}
	return c, faults, nil
}

// index lets entries be found by either of their names, the proper one first,
// and returns names that several have.
func (c *container) index() (twice []string) {
	clear(c.byName)
	for i := range c.entries {
		if _, dup := c.byName[c.entries[i].name]; dup {
			twice = append(twice, c.entries[i].name)
			continue
		}
		c.byName[c.entries[i].name] = i
	}
	for i := range c.entries {
		if alt := c.entries[i].alt; alt != "" {
			if _, taken := c.byName[alt]; !taken {
				c.byName[alt] = i
			}
		}
	}
	return twice
}

// bytes reads a range, or nil if it is not there.
func (c *container) bytes(at, n int64) []byte {
	if at < 0 || n < 0 || at > c.size || n > c.size-at {
		return nil
	}
	b := make([]byte, n)
	if k, err := c.r.ReadAt(b, at); int64(k) != n && err != nil {
		c.failed(err)
		return nil
	}
	return b
}

// failed notes what reading met; a file that ends early is damage.
func (c *container) failed(err error) {
	if c.err == nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.err = err
	}
}

// readCentral walks the directory that the end record points to.
func (c *container) readCentral() (list []entry) {
	le := binary.LittleEndian
	end := c.bytes(c.size-endSize, endSize)
	if end == nil || le.Uint32(end) != endSig {
		return nil
	}
	n := int(le.Uint16(end[10:]))
	size, at := int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	if size != c.size-endSize-at || int64(n)*centralSize > size || size > maxEntries*(centralSize+maxEntryName) {
		return nil
	}
	dir := c.bytes(at, size)
	total := int64(0)
	for range n {
		if len(dir) < centralSize || le.Uint32(dir) != centralSig {
			return nil
		}
		nameLen := int(le.Uint16(dir[28:]))
		if len(dir) < centralSize+nameLen || nameLen > maxEntryName {
			return nil
		}
		e := entry{name: string(dir[centralSize : centralSize+nameLen]), crc: le.Uint32(dir[16:]), size: int64(le.Uint32(dir[24:]))}
		e.at = int64(le.Uint32(dir[42:])) + localSize + int64(nameLen)
		// Together they have no more bytes than the file, or reading them would
		// take longer than the file is long.
		if total += e.size; e.at+e.size > at || total > at {
			return nil
		}
		list = append(list, e)
		dir = dir[centralSize+nameLen:]
	}
	if len(dir) != 0 {
		return nil
	}
	return list
}

// readLocal walks the local headers from the start.
func (c *container) readLocal() (list []entry) {
	le := binary.LittleEndian
	pos := int64(0)
	for len(list) < maxEntries {
		h := c.bytes(pos, localSize)
		if h == nil || le.Uint32(h) != localSig {
			break
		}
		nameLen := int64(le.Uint16(h[26:]))
		size := int64(le.Uint32(h[22:]))
		if nameLen == 0 || nameLen > maxEntryName || pos+localSize+nameLen+size > c.size {
			break
		}
		name := c.bytes(pos+localSize, nameLen)
		list = append(list, entry{name: string(name), crc: le.Uint32(h[14:]), size: size, at: pos + localSize + nameLen})
		pos += localSize + nameLen + size
	}
	return list
}

func sameShape(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(x, y entry) bool { return x.at == y.at && x.size == y.size })
}

// open gives an entry by either of its names.
func (c *container) open(name string) (*io.SectionReader, bool) {
	i, ok := c.byName[name]
	if !ok {
		return nil, false
	}
	e := &c.entries[i]
	return io.NewSectionReader(c.r, e.at, e.size), true
}

// read gives a whole entry of at most limit bytes, nil if there is none.
func (c *container) read(name string, limit int64) ([]byte, error) {
	r, ok := c.open(name)
	if !ok {
		return nil, nil
	}
	if r.Size() > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, name, limit)
	}
	b := make([]byte, r.Size())
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("evidence: read %s: %w", name, err)
	}
	return b, nil
}

// digestAll reads every entry once for its hashes, and says which checksums are
// right.
func (c *container) digestAll() ([]Digest, []bool, error) {
	out, right := make([]Digest, len(c.entries)), make([]bool, len(c.entries))
	d, crc := newDigester(), crc32.NewIEEE()
	both := io.MultiWriter(d, crc)
	buf := make([]byte, 64<<10)
	for i := range c.entries {
		e := &c.entries[i]
		d.n = 0
		d.sha.Reset()
		d.sm3.Reset()
		crc.Reset()
		if _, err := io.CopyBuffer(both, io.NewSectionReader(c.r, e.at, e.size), buf[:max(1, min(int64(len(buf)), e.size))]); err != nil {
			return nil, nil, fmt.Errorf("evidence: read %s: %w", e.name, err)
		}
		out[i], right[i] = d.sum(), crc.Sum32() == e.crc
	}
	return out, right, nil
}
