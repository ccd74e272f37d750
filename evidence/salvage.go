package evidence

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
)

// A damaged container fails whatever its reader makes of it. What the reader owes
// is the name of the entry where the damage is, and the others as they are, so
// that the manifest and the events can speak: hence the second look here, at a
// file whose directory cannot be followed or leads to other bytes than it says.

// headFixed are the bytes of a local header behind its signature that are the same
// in every entry: versions, flags, method, time and date.
var headFixed = func() []byte { e := entry{}; return e.local(nil)[4:14] }()

// salvage walks the entries from the start, and where one is not what its header
// says takes it to end where the next begins that looks like one.
func (c *container) salvage() []entry {
	marks := c.find(localSig)
	central := c.find(centralSig)
	dir := c.records(central)
	central = central[directory(marks, central):]
	limit := c.size // where entries end
	var list []entry
	pos, last := int64(0), ""
	budget := c.size // of bytes to try checksums on, however sizes overlap
	for pos < limit && len(list) < maxEntries {
		for len(central) > 0 && central[0] < pos {
			central = central[1:]
		}
		next := limit
		if len(central) > 0 {
			next = central[0]
		}
		if i, _ := slices.BinarySearch(marks, pos+1); i < len(marks) && marks[i] < next {
			next = marks[i]
		}
		e, ok := c.header(pos, next, last, dir[pos])
		if !ok { // nothing that is known begins here
			pos = next
			if len(central) > 0 && pos == central[0] {
				break
			}
			continue
		}
		if end := e.at + e.size; end != next {
			right := end <= limit && e.size <= budget
			if right {
				budget -= e.size
				right = c.intact(e)
			}
			if !right {
				e.size = max(0, next-e.at)
			}
		}
		list, last, pos = append(list, e), e.name, e.at+e.size
		if _, ok := slices.BinarySearch(central, pos); ok {
			break
		}
	}
	return list
}

// directory finds where the directory begins among what looks like its records:
// with the most local headers before it and the most records behind.
func directory(marks, central []int64) (best int) {
	most, before := -1, 0
	for i, at := range central {
		for before < len(marks) && marks[before] < at {
			before++
		}
		if n := before + len(central) - i; n > most {
			most, best = n, i
		}
	}
	return best
}

// header reads the header of an entry, which may be damaged in places. Another one
// seems to be at next; dir is what the directory says of an entry there, if
// anything.
func (c *container) header(pos, next int64, last string, dir *entry) (entry, bool) {
	le := binary.LittleEndian
	h := c.bytes(pos, localSize)
	if h == nil {
		return entry{}, false
	}
	signed := le.Uint32(h) == localSig
	e := entry{crc: le.Uint32(h[14:]), size: int64(le.Uint32(h[22:]))}
	name, n := "", int64(0)
	for _, n = range []int64{int64(le.Uint16(h[26:])), next - pos - localSize - e.size} { // as it says, or as the next one says
		if n > 0 && n <= maxEntryName {
			if name = string(c.bytes(pos+localSize, n)); validEntryName(name) {
				break
			}
		}
	}
	e.name, e.at = name, pos+localSize+n
	switch {
	case dir != nil && (name == dir.name || !validEntryName(name) || name <= last):
		e.name, e.at = dir.name, pos+localSize+int64(len(dir.name))
		if name != dir.name {
			e.crc, e.size = dir.crc, dir.size
		}
	case !validEntryName(name) || name <= last:
		return entry{}, false
	case dir != nil:
		e.alt = dir.name
	case !signed && !bytes.Equal(h[4:14], headFixed):
		return entry{}, false
	}
	return e, true
}

// intact reports whether an entry's checksum is right.
func (c *container) intact(e entry) bool {
	if e.at < 0 || e.size < 0 || e.size > c.size || e.at > c.size-e.size {
		return false
	}
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, io.NewSectionReader(c.r, e.at, e.size))
	if err != nil {
		c.failed(err)
	}
	return err == nil && n == e.size && sum.Sum32() == e.crc
}

// find returns where a signature stands that the rest of a header follows.
func (c *container) find(sig uint32) (out []int64) {
	want := binary.LittleEndian.AppendUint32(nil, sig)
	skip := 0
	if sig == centralSig {
		skip = 2 // the version that made it
	}
	const step = 1 << 16
	buf := make([]byte, step+localSize)
	for from := int64(0); from < c.size && len(out) < maxEntries; from += step {
		n, err := c.r.ReadAt(buf[:min(int64(len(buf)), c.size-from)], from)
		if err != nil && err != io.EOF {
			c.failed(err)
			return out
		}
		b := buf[:n]
		for i := 0; i < step; {
			k := bytes.Index(b[min(i, n):], want)
			if k < 0 || i+k >= step {
				break
			}
			i += k
			if f := i + 4 + skip; f+len(headFixed) <= n && bytes.Equal(b[f:f+len(headFixed)], headFixed) {
				out = append(out, from+int64(i))
			}
			i++
		}
	}
	return out
}

// records reads what directory records say, by the place of the entry.
func (c *container) records(at []int64) map[int64]*entry {
	le := binary.LittleEndian
	out := map[int64]*entry{}
	for _, pos := range at {
		h := c.bytes(pos, centralSize)
		if h == nil {
			continue
		}
		name := string(c.bytes(pos+centralSize, min(int64(le.Uint16(h[28:])), maxEntryName+1)))
		if validEntryName(name) {
			out[int64(le.Uint32(h[42:]))] = &entry{name: name, crc: le.Uint32(h[16:]), size: int64(le.Uint32(h[24:]))}
		}
	}
	return out
}

// sound counts entries that are where and what the list says.
func (c *container) sound(list []entry) (n int) {
	for i := range list {
		e := &list[i]
		head := e.local(nil)
		if bytes.Equal(c.bytes(e.at-int64(len(head)), int64(len(head))), head) && c.intact(*e) {
			n++
		}
	}
	return n
}
