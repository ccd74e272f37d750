package sqlstore

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/countersign/countersign/storage"
)

// A pack is a row of the table of entries: entries of one stream that follow each
// other and were appended by one commit. A hot account gets hundreds in a commit,
// and a row each would cost the database more than all else.
type pack struct {
	stream storage.Key
	seq, n int64  // of the last entry, and how many there are
	at     int64  // of the first, in microseconds
	parts  string // where each lies; empty if there is one
	data   []byte // of all, one after another

	entries []storage.Entry // while it is written, instead of data
	size    int             // of their data
}

// bytes is the data of a pack that is written.
func (p *pack) bytes() []byte {
	if p.n == 1 {
		return bytesOf(p.entries[0].Data)
	}
	return p.appendData(make([]byte, 0, p.size))
}

func (p *pack) appendData(b []byte) []byte {
	for i := range p.entries {
		b = append(b, p.entries[i].Data...)
	}
	return b
}

// A part is where an entry lies in its pack, as JSON for the view: microseconds
// since the first entry, where its data begins, and how long it is.
type part [3]int64

// Limits of a pack of several entries, for readers not to get much more than they
// asked for. One of this size lies within a page of PostgreSQL and InnoDB; beyond
// it they move data out of the row.
const (
	maxPack   = 100  // entries
	packBytes = 1800 // of parts and data
)

// packs are the rows of entries, which are in order within each stream, by stream.
func packs(entries []storage.Entry) []pack {
	byStream := func(a, b storage.Entry) int { return a.Stream.Compare(b.Stream) }
	if !slices.IsSortedFunc(entries, byStream) {
		entries = slices.Clone(entries)
		slices.SortStableFunc(entries, byStream)
	}
	var rows []pack
	var parts []byte
	for len(entries) > 0 {
		first, n := &entries[0], 1
		p := pack{stream: first.Stream, at: first.At.UnixMicro(), size: len(first.Data)}
		parts = appendPart(append(parts[:0], '['), part{0, 0, int64(p.size)})
		for n < min(len(entries), maxPack) {
			e, cut := &entries[n], len(parts)
			if e.Stream != p.stream {
				break
			}
			parts = appendPart(append(parts, ','), part{e.At.UnixMicro() - p.at, int64(p.size), int64(len(e.Data))})
			if len(parts)+p.size+len(e.Data) > packBytes {
				parts = parts[:cut]
				break
			}
			p.size += len(e.Data)
			n++
		}
		if p.seq, p.n = int64(entries[n-1].Seq), int64(n); n > 1 {
			p.parts = string(append(parts, ']'))
		}
		p.entries, entries = entries[:n:n], entries[n:]
		rows = append(rows, p)
	}
	return rows
}

func appendPart(b []byte, p part) []byte {
	for i, n := range p {
		b = strconv.AppendInt(append(b, "[,,"[i]), n, 10)
	}
	return append(b, ']')
}

// scanPack reads seq, n, at, parts, data, and whatever comes before them.
func scanPack(rows *sql.Rows, stream storage.Key, before ...any) (pack, error) {
	p := pack{stream: stream}
	return p, rows.Scan(append(before, &p.seq, &p.n, &p.at, &p.parts, &p.data)...)
}

// unpack adds the entries of p after a number to entries, up to limit.
func (p *pack) unpack(entries []storage.Entry, after uint64, limit int) ([]storage.Entry, error) {
	parts := []part{{0, 0, int64(len(p.data))}}
	if p.parts != "" {
		parts = make([]part, 0, max(0, min(p.n, maxPack)))
		if json.Unmarshal([]byte(p.parts), &parts) != nil {
			return nil, p.corrupt()
		}
	}
	if p.n != int64(len(parts)) || p.n < 1 || p.seq < p.n {
		return nil, p.corrupt()
	}
	end := int64(0)
	for i, at := range parts {
		from, size := at[1], at[2]
		if from != end || size < 0 || size > int64(len(p.data))-from {
			return nil, p.corrupt()
		}
		end += size
		seq := uint64(p.seq - p.n + 1 + int64(i))
		if seq <= after || len(entries) == limit {
			continue
		}
		entries = append(entries, storage.Entry{Stream: p.stream, Seq: seq, At: time.UnixMicro(p.at + at[0]).UTC(), Data: p.data[from:end:end]})
	}
	if end != int64(len(p.data)) {
		return nil, p.corrupt()
	}
	return entries, nil
}

// corrupt names a row that no release can have written.
func (p *pack) corrupt() error {
	return fmt.Errorf("sqlstore: %w: entries of %s up to %d", storage.ErrCorrupt, p.stream.Kind, p.seq)
}

// window is the number below which entries are read, of a page after a number.
func window(after uint64, limit int) int64 {
	return int64(min(after, maxInt-maxPack-uint64(limit))) + int64(limit) + 1
}
