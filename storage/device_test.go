package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// device is a disk that loses what was not synced: in a crash each change of a
// name is there or not, whatever came before or after it, and of what was written
// to a file some pages are there, some are not, some are zero. It can be told to
// forget syncs, as broken drivers and careless code do.
type device struct {
	dirs  map[string]*dirNode
	temps int

	steps       int // calls that change something, so far
	stopAt      int // the process dies before this one; 0: never
	forgetFiles bool
	forgetNames bool
}

type dirNode struct {
	synced, now map[string]*node
}

type node struct {
	dir         *dirNode // of a directory
	synced, now []byte   // of a file
}

const page = 4

func newDevice() *device {
	root := &dirNode{synced: map[string]*node{}, now: map[string]*node{}}
	return &device{dirs: map[string]*dirNode{"/": root}}
}

var errKilled = errors.New("killed")

// step counts a change. The process whose step it would be dies first: neither
// this change nor any later one of it happens.
func (d *device) step() error {
	d.steps++
	if d.stopAt > 0 && d.steps >= d.stopAt {
		return errKilled
	}
	return nil
}

func (d *device) find(name string) (*dirNode, *node, error) {
	dir, ok := d.dirs[filepath.Dir(name)]
	if !ok {
		return nil, nil, fs.ErrNotExist
	}
	n, ok := dir.now[filepath.Base(name)]
	if !ok {
		return dir, nil, fs.ErrNotExist
	}
	return dir, n, nil
}

func (d *device) CreateTemp(dir, pattern string) (storage.TempFile, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	d.temps++
	name := strings.Replace(pattern, "*", fmt.Sprint(d.temps), 1)
	n := &node{}
	d.dirs[dir].now[name] = n
	return &deviceFile{d, filepath.Join(dir, name), n}, nil
}

func (d *device) Open(name string) (storage.DiskFile, error) {
	_, n, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return openFile{bytes.NewReader(slices.Clone(n.now)), info{name, n}}, nil
}

func (d *device) Stat(name string) (fs.FileInfo, error) {
	if dir, ok := d.dirs[name]; ok {
		return info{name, &node{dir: dir}}, nil
	}
	return d.Lstat(name)
}

func (d *device) Lstat(name string) (fs.FileInfo, error) {
	_, n, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return info{name, n}, nil
}

func (d *device) Link(old, name string) error {
	if err := d.step(); err != nil {
		return err
	}
	_, n, err := d.find(old)
	if err != nil {
		return err
	}
	dir, taken, err := d.find(name)
	if dir == nil || taken != nil {
		return errors.Join(err, fs.ErrExist)
	}
	dir.now[filepath.Base(name)] = n
	return nil
}

func (d *device) Rename(string, string) error { return errors.New("rename is for disks without link") }

func (d *device) Remove(name string) error {
	dir, _, err := d.find(name)
	if err != nil {
		return err
	}
	if err := d.step(); err != nil {
		return err
	}
	delete(dir.now, filepath.Base(name))
	return nil
}

func (d *device) Mkdir(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	dir, taken, err := d.find(name)
	if dir == nil || taken != nil {
		return errors.Join(err, fs.ErrExist)
	}
	made := &dirNode{synced: map[string]*node{}, now: map[string]*node{}}
	dir.now[filepath.Base(name)] = &node{dir: made}
	d.dirs[name] = made
	return nil
}

func (d *device) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, ok := d.dirs[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	var list []fs.DirEntry
	for _, base := range slices.Sorted(maps.Keys(dir.now)) {
		list = append(list, fs.FileInfoToDirEntry(info{base, dir.now[base]}))
	}
	return list, nil
}

func (d *device) SyncDir(name string) error {
	dir, ok := d.dirs[name]
	if !ok {
		return fs.ErrNotExist
	}
	if err := d.step(); err != nil {
		return err
	}
	if !d.forgetNames {
		dir.synced = maps.Clone(dir.now)
	}
	return nil
}

type deviceFile struct {
	d    *device
	name string
	n    *node
}

func (f *deviceFile) Name() string { return f.name }
func (f *deviceFile) Close() error { return nil }

func (f *deviceFile) Write(b []byte) (int, error) {
	if err := f.d.step(); err != nil {
		return 0, err
	}
	f.n.now = append(slices.Clone(f.n.now), b...)
	return len(b), nil
}

func (f *deviceFile) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	if !f.d.forgetFiles {
		f.n.synced = f.n.now
	}
	return nil
}

type openFile struct {
	*bytes.Reader
	info info
}

func (f openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f openFile) Close() error               { return nil }

type info struct {
	name string
	n    *node
}

func (i info) Name() string       { return filepath.Base(i.name) }
func (i info) Size() int64        { return int64(len(i.n.now)) }
func (i info) ModTime() time.Time { return time.Now() }
func (i info) IsDir() bool        { return i.n.dir != nil }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// crash takes the power away and gives it back.
func (d *device) crash(r *rand.Rand) {
	dirs := map[string]*dirNode{}
	var keep func(name string, dir *dirNode)
	keep = func(name string, dir *dirNode) {
		left := map[string]*node{}
		for base := range maps.Keys(merged(dir.synced, dir.now)) {
			was, is := dir.synced[base], dir.now[base]
			n := is
			if was != is && r.IntN(2) == 0 {
				n = was
			}
			if n == nil {
				continue
			}
			if n.dir == nil {
				n = &node{synced: torn(n, r)}
				n.now = n.synced
			} else {
				keep(filepath.Join(name, base), n.dir)
			}
			left[base] = n
		}
		*dir = dirNode{synced: left, now: maps.Clone(left)}
		dirs[name] = dir
	}
	keep("/", d.dirs["/"])
	d.dirs, d.stopAt = dirs, 0
}

func merged(a, b map[string]*node) map[string]*node {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// torn is what a crash leaves of a file.
func torn(n *node, r *rand.Rand) []byte {
	out := slices.Clone(n.now)
	if len(n.synced) < len(out) && r.IntN(3) == 0 {
		out = out[:len(n.synced)+r.IntN(len(out)-len(n.synced))] // its size is a change, too
	}
	for from := 0; from < len(out); from += page {
		for i := from; i < min(from+page, len(out)); i++ {
			if i >= len(n.synced) && r.IntN(2) == 0 {
				out[i] = 0
			}
		}
	}
	return out
}

// TestDirBlobsOutlivesPower kills a process before any of its steps, lets another
// one go on, and takes the power away: what either reported as done is there, what
// it deleted is gone, and no blob is there in part.
func TestDirBlobsOutlivesPower(t *testing.T) {
	for seed := range uint64(20_000) {
		require.NoError(t, outlives(t.Context(), newDevice(), rand.New(rand.NewPCG(seed, 0))), "seed %d", seed)
	}
}

// TestDirBlobsNeedsSyncs shows that the device finds a program that forgets a sync.
func TestDirBlobsNeedsSyncs(t *testing.T) {
	for name, forget := range map[string]func(*device){
		"files": func(d *device) { d.forgetFiles = true },
		"names": func(d *device) { d.forgetNames = true },
	} {
		found := 0
		for seed := range uint64(1000) {
			d := newDevice()
			forget(d)
			if outlives(t.Context(), d, rand.New(rand.NewPCG(seed, 0))) != nil {
				found++
			}
		}
		assert.Greater(t, found, 100, "syncs of %s are needed", name)
	}
}

// outlives runs a process until it is killed, then another one, then takes the
// power away and compares what is there with what was promised.
func outlives(ctx context.Context, d *device, r *rand.Rand) error {
	long := strings.Repeat("long", 60) // continues in a folder
	pool := []string{"aaa", "bbb", long + "1", long + "2"}
	text := func(id string) string { return strings.Repeat(id[len(id)-1:], 15) }
	promised := map[string]string{} // "there", "gone", or "" while it may be either
	for _, killed := range []bool{true, false} {
		d.stopAt = 0
		if killed {
			d.stopAt = d.steps + 1 + r.IntN(25)
		}
		b, err := storage.OpenBlobsOn(d, "/var/blobs")
		if err != nil && !killed {
			return err
		}
		for range 1 + r.IntN(3) {
			if err != nil {
				break
			}
			id := pool[r.IntN(len(pool))]
			if r.IntN(3) == 0 {
				if promised[id] = ""; b.Delete(ctx, id) == nil {
					promised[id] = "gone"
				}
				continue
			}
			switch _, err := b.Create(ctx, id, strings.NewReader(text(id))); {
			case err == nil:
				promised[id] = "there"
			case !errors.Is(err, storage.ErrExists):
				promised[id] = ""
			case promised[id] == "gone":
				return fmt.Errorf("blob %.9s came back", id)
			}
		}
	}
	d.crash(r)
	b, err := storage.OpenBlobsOn(d, "/var/blobs")
	if err != nil {
		return err
	}
	ids, err := b.List(ctx, "", 0)
	if err != nil {
		return err
	}
	for _, id := range ids {
		blob, err := b.Open(ctx, id)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
		if err != nil || string(got) != text(id) {
			return fmt.Errorf("blob %.9s is there in part: %q, %v", id, got, err)
		}
	}
	for id, want := range promised {
		if want == "there" && !slices.Contains(ids, id) || want == "gone" && slices.Contains(ids, id) {
			return fmt.Errorf("blob %.9s should be %s", id, want)
		}
	}
	return nil
}
