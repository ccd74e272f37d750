package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/storage"
)

// TestBlobs checks a blob store against the contract of [storage.Blobs], one
// subtest per rule. open returns an empty one.
func TestBlobs(t *testing.T, open func(t *testing.T) storage.Blobs) {
	for _, r := range blobRules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(open(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

type blobRule struct {
	name string
	text string
	run  func(p *blobProbe)
}

type blobProbe struct {
	probe
	b storage.Blobs
}

func (r blobRule) check(b storage.Blobs) error {
	return rule{name: r.name, text: r.text, run: func(p *probe) { r.run(&blobProbe{probe: *p, b: b}) }}.check(nil)
}

func (p *blobProbe) create(id, data string) {
	n, err := p.b.Create(p.ctx, id, strings.NewReader(data))
	p.noError(err, "Create")
	if n != int64(len(data)) {
		p.failf("Create of %d bytes returned size %d", len(data), n)
	}
}

// content returns what a blob holds, having read it in several ways.
func (p *blobProbe) content(id string) string {
	b, err := p.b.Open(p.ctx, id)
	p.noError(err, "Open")
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()+10))
	p.noError(err, "reading")
	if int64(len(data)) != b.Size() {
		p.failf("Size is %d, but there are %d bytes", b.Size(), len(data))
	}
	if len(data) > 2 {
		part := make([]byte, len(data)-2)
		if n, err := b.ReadAt(part, 1); n != len(part) || err != nil || !bytes.Equal(part, data[1:len(data)-1]) {
			p.failf("ReadAt within the blob returned %d, %v or other bytes", n, err)
		}
	}
	if n, err := b.ReadAt(make([]byte, 4), b.Size()); n != 0 || err != io.EOF {
		p.failf("ReadAt at the end returned %d, %v, want io.EOF", n, err)
	}
	p.noError(b.Close(), "Close")
	return string(data)
}

func (p *blobProbe) list(after string, limit int) []string {
	ids, err := p.b.List(p.ctx, after, limit)
	p.noError(err, "List")
	return ids
}

func (p *blobProbe) absent(id string) {
	if b, err := p.b.Open(p.ctx, id); !errors.Is(err, storage.ErrNotFound) {
		if err == nil {
			b.Close()
		}
		p.failf("Open of an absent blob returned %v, want ErrNotFound", err)
	}
	if slices.Contains(p.list("", 0), id) {
		p.failf("List shows the absent %q", id)
	}
}

// failingReader yields data and then fails.
type failingReader struct {
	r   io.Reader
	err error
}

func (f *failingReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

var blobRules = []blobRule{
	{"create and open", "store what r yields until io.EOF, and return its size", func(p *blobProbe) {
		for _, size := range []int{0, 1, 511, 4096, 1<<16 + 1, 3 << 20} {
			id, data := fmt.Sprint("blob ", size), strings.Repeat("0123456789abcdef", size/16+1)[:size]
			p.absent(id)
			p.create(id, data)
			if p.content(id) != data {
				p.failf("a blob of %d bytes came back changed", size)
			}
		}
		if n, err := p.b.Create(p.ctx, "slow", io.MultiReader(strings.NewReader("a"), strings.NewReader(""), strings.NewReader("b"))); n != 2 || err != nil {
			p.failf("Create from a reader in parts returned %d, %v", n, err)
		}
		if got := p.content("slow"); got != "ab" {
			p.failf("a blob read in parts holds %q", got)
		}
	}},
	{"immutable", "leave a blob alone if its id is created again", func(p *blobProbe) {
		p.create("a", "first")
		for _, again := range []string{"first", "second", ""} {
			if _, err := p.b.Create(p.ctx, "a", strings.NewReader(again)); !errors.Is(err, storage.ErrExists) {
				p.failf("Create of an id in use returned %v, want ErrExists", err)
			}
			if got := p.content("a"); got != "first" {
				p.failf("after a second Create the blob holds %q", got)
			}
		}
	}},
	{"whole or not at all", "show a blob under its id whole or not at all", func(p *blobProbe) {
		cause := errors.New("the reader's own")
		if _, err := p.b.Create(p.ctx, "a", &failingReader{strings.NewReader("half"), cause}); !errors.Is(err, cause) {
			p.failf("Create from a failing reader returned %v, want the reader's error", err)
		}
		p.absent("a")
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		if _, err := p.b.Create(ctx, "a", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
			p.failf("Create under an ended context returned %v", err)
		}
		p.absent("a")
		// While it is being written nothing is to be seen.
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := p.b.Create(p.ctx, "a", r)
			done <- err
		}()
		_, err := w.Write([]byte("first half, "))
		p.noError(err, "writing")
		_, oerr := p.b.Open(p.ctx, "a")
		ids, lerr := p.b.List(p.ctx, "", 0)
		w.Write([]byte("second half"))
		w.Close()
		p.noError(<-done, "Create")
		if !errors.Is(oerr, storage.ErrNotFound) || lerr != nil || len(ids) != 0 {
			p.failf("while it was being written Open returned %v, and List %q, %v", oerr, ids, lerr)
		}
		if got := p.content("a"); got != "first half, second half" {
			p.failf("the blob holds %q", got)
		}
	}},
	{"delete", "Delete makes a blob unreachable; an absent one is no error", func(p *blobProbe) {
		p.noError(p.b.Delete(p.ctx, "a"), "Delete of an absent blob")
		p.create("a", "x")
		p.create("b", "y")
		p.noError(p.b.Delete(p.ctx, "a"), "Delete")
		p.absent("a")
		p.noError(p.b.Delete(p.ctx, "a"), "Delete again")
		if p.content("b") != "y" {
			p.failf("Delete of another blob changed this one")
		}
		p.create("a", "z")
		if p.content("a") != "z" {
			p.failf("a blob created after Delete holds something else")
		}
	}},
	{"list", "List returns ids above after in byte order", func(p *blobProbe) {
		var want []string
		for i := range 40 {
			id := fmt.Sprintf("%02d", (i*17)%40)
			want = append(want, id)
			p.create(id, "x")
		}
		slices.Sort(want)
		for _, after := range []string{"", "00", "0", "17", "17x", "38", "39", "4", "zz"} {
			for limit, size := range map[int]int{1: 1, 7: 7, 40: 40, 0: 1000, -1: 1000, 5000: 1000} {
				i, found := slices.BinarySearch(want, after)
				if found {
					i++
				}
				page := want[i:min(len(want), i+size)]
				if got := p.list(after, limit); !slices.Equal(got, page) {
					p.failf("List after %q with limit %d returned %q, want %q", after, limit, got, page)
				}
			}
		}
	}},
	{"odd ids", "ids match and sort byte for byte, up to the limit of length", func(p *blobProbe) {
		ids := append([]string{strings.Repeat("k", storage.MaxID), strings.Repeat("契", storage.MaxID/3), strings.Repeat("k", storage.MaxID-1),
			strings.Repeat("/", 90), "../../x", "/", "//", "/x", "x/", ".", "CON", "nul", "b-x", "t-1", "a+", "a+/b", "=61", "a=20"}, oddParts...)
		slices.Sort(ids)
		ids = slices.Compact(ids)
		for _, id := range ids {
			p.create(id, "of "+id)
		}
		for _, id := range ids {
			if got := p.content(id); got != "of "+id {
				p.failf("blob %q holds %q", id, got)
			}
		}
		if got := p.list("", 0); !slices.Equal(got, ids) {
			p.failf("List returned %q, want %q", got, ids)
		}
		for i, id := range ids {
			if got := p.list(id, 3); !slices.Equal(got, ids[i+1:min(len(ids), i+4)]) {
				p.failf("List after %q returned %q", id, got)
			}
		}
		for _, id := range ids {
			p.noError(p.b.Delete(p.ctx, id), "Delete")
			p.absent(id)
		}
		for what, c := range map[string]struct {
			id   string
			want error
		}{
			"empty": {"", storage.ErrKey}, "NUL": {"a\x00", storage.ErrKey}, "not UTF-8": {"\xff", storage.ErrKey},
			"too long": {strings.Repeat("k", storage.MaxID+1), storage.ErrTooLarge},
		} {
			_, err := p.b.Create(p.ctx, c.id, strings.NewReader("x"))
			if !errors.Is(err, c.want) {
				p.failf("Create of an id that is %s returned %v", what, err)
			}
			if _, err = p.b.Open(p.ctx, c.id); !errors.Is(err, c.want) {
				p.failf("Open of an id that is %s returned %v", what, err)
			}
			if err = p.b.Delete(p.ctx, c.id); !errors.Is(err, c.want) {
				p.failf("Delete of an id that is %s returned %v", what, err)
			}
		}
	}},
	{"races", "be safe for concurrent use: of writers that create one id, one wins", func(p *blobProbe) {
		var wins [20]atomic.Int64
		p.race(func(ctx context.Context, worker int) error {
			for i := range wins {
				id := fmt.Sprint("shared ", i)
				_, err := p.b.Create(ctx, id, strings.NewReader(fmt.Sprint(worker)))
				if err == nil {
					wins[i].Add(1)
				} else if !errors.Is(err, storage.ErrExists) {
					return err
				}
				b, err := p.b.Open(ctx, id)
				if err != nil {
					return err
				}
				size := b.Size()
				if err := b.Close(); err != nil || size != 1 {
					return fmt.Errorf("a blob of one byte has size %d, Close %v", size, err)
				}
				if _, err := p.b.List(ctx, "", 10); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range wins {
			if n := wins[i].Load(); n != 1 {
				p.failf("%d creators of one blob were told that they won", n)
			}
		}
		p.create("shared", strings.Repeat("0123456789", 1000))
		b, err := p.b.Open(p.ctx, "shared")
		p.noError(err, "Open")
		var wg sync.WaitGroup
		var bad atomic.Bool
		for i := range raceWorkers {
			wg.Go(func() {
				for j := range 50 {
					part, off := make([]byte, 10), int64((i*50+j)*10)
					if _, err := b.ReadAt(part, off); err != nil || string(part) != "0123456789" {
						bad.Store(true)
					}
				}
			})
		}
		wg.Wait()
		p.noError(b.Close(), "Close")
		if bad.Load() {
			p.failf("concurrent ReadAt returned an error or other bytes")
		}
	}},
	{"slices", "keep no slice it was given", func(p *blobProbe) {
		data := []byte("data")
		_, err := p.b.Create(p.ctx, "a", bytes.NewReader(data))
		p.noError(err, "Create")
		spoil(data)
		if got := p.content("a"); got != "data" {
			p.failf("after the caller changed what it gave the blob holds %q", got)
		}
		ids := p.list("", 0)
		ids[0] = "changed"
		if got := p.list("", 0); !slices.Equal(got, []string{"a"}) {
			p.failf("after the caller changed what it got List returns %q", got)
		}
	}},
}

// TestReopen checks that what a store acknowledged is there after a crash.
// open returns an empty store and a function that ends the store as a crash
// would, without closing it in good order, and returns it reopened; it may be
// called again. Where a process cannot crash its own store, reopening a copy of
// the files will do.
func TestReopen(t *testing.T, open func(t *testing.T) (storage.Store, func() storage.Store)) {
	s, crash := open(t)
	if err := reopenRule(crash).check(s); err != nil {
		t.Error(err)
	}
}

func reopenRule(crash func() storage.Store) rule {
	return rule{"durable", "report a Batch OK only once it would survive a crash", func(p *probe) {
		k, due := key("a"), epoch
		for v := range uint64(10) {
			due = due.Add(time.Second)
			p.okBatch("writing", storage.Batch{
				Writes:  []storage.Write{{Key: k, Expect: v, Data: []byte(fmt.Sprint(v)), Due: due}, create(key(fmt.Sprint("side ", v)), "x")},
				Entries: []storage.Entry{entry(k, v+1, fmt.Sprint(v))},
			})
			if v%3 == 2 {
				p.ok("deleting", remove(key(fmt.Sprint("side ", v-1)), 1))
			}
			p.s = crash()
			p.same("after a crash", storage.Record{Key: k, Version: v + 1, Seq: v + 1, Data: []byte(fmt.Sprint(v)), Due: due}, p.get(k)[0])
			if n := len(p.entries(k, 0, 0)); n != int(v)+1 {
				p.failf("after a crash the stream has %d entries, want %d", n, v+1)
			}
			if n, want := len(p.list(k.Tenant, k.Kind, "", 0)), int(v)+2-int(v+1)/3; n != want {
				p.failf("after a crash List shows %d records, want %d", n, want)
			}
			if d := p.due(k.Kind, due, 0); len(d) != 1 || d[0] != k {
				p.failf("after a crash Due shows %q", d)
			}
		}
	}}
}
