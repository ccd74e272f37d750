package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// DirBlobs is a [Blobs] in a directory, one file per blob. Several processes
// may share it. Deleting removes the file; its bytes leave the disk when the
// file system reuses them.
type DirBlobs struct {
	path string
	disk disk
	mu   sync.Mutex // of the rename that stands in for link
}

var _ Blobs = (*DirBlobs)(nil)

// Names in the directory. A blob's file is blobPrefix and its encoded id; a
// long one continues in folders. Nothing else in the directory is touched.
const (
	blobPrefix = "b-"
	folderMark = "+" // ends the name of a folder; no encoded id contains it
	tempPrefix = "t-"
	maxName    = 200            // of an encoded name, below the usual limit of 255
	tempAge    = 24 * time.Hour // older temporary files are from a crash
	safe       = "-_"           // besides digits and lower-case letters
)

// OpenDirBlobs returns the blobs of a directory, which is created if absent,
// readable by its owner only. It removes what crashed writers left behind.
func OpenDirBlobs(path string) (*DirBlobs, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("storage: open blobs: %w", err)
	}
	return openBlobsOn(osDisk{}, path)
}

func openBlobsOn(on disk, path string) (*DirBlobs, error) {
	d := &DirBlobs{path: path, disk: on}
	if err := d.makeDir(path); err != nil {
		return nil, fmt.Errorf("storage: open blobs: %w", err)
	}
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		_ = on.SyncDir(filepath.Dir(dir)) // where that can be done: who made dir may have died before
	}
	names, err := on.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("storage: open blobs: %w", err)
	}
	for _, e := range names {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > tempAge {
			_ = on.Remove(filepath.Join(path, e.Name())) // the next Open tries again
		}
	}
	return d, nil
}

// Create implements [Blobs]. File and directory are synced.
func (d *DirBlobs) Create(ctx context.Context, id string, r io.Reader) (size int64, err error) {
	if err := CheckBlob(id); err != nil {
		return 0, err
	}
	name := d.file(id)
	if _, err := d.disk.Lstat(name); err == nil {
		return 0, fmt.Errorf("%w: blob", ErrExists)
	}
	tmp, err := d.disk.CreateTemp(d.path, tempPrefix+"*")
	if err != nil {
		return 0, fmt.Errorf("storage: create blob: %w", err)
	}
	defer d.disk.Remove(tmp.Name())
	defer tmp.Close()
	size, err = io.Copy(tmp, ctxReader{ctx, r})
	if err != nil {
		return 0, fmt.Errorf("storage: create blob: %w", err)
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return 0, fmt.Errorf("storage: create blob: %w", err)
	}
	if dir := filepath.Dir(name); dir != d.path {
		if err := d.makeDir(dir); err != nil {
			return 0, fmt.Errorf("storage: create blob: %w", err)
		}
	}
	if err := d.place(tmp.Name(), name); err != nil {
		return 0, err
	}
	if err := d.syncNames(name); err != nil {
		return 0, fmt.Errorf("%w: create blob: %w", ErrUnknown, err)
	}
	return size, nil
}

// place gives a finished file its name unless the name is taken. Link decides
// between processes; where the file system has none, rename decides within ours.
func (d *DirBlobs) place(tmp, name string) error {
	err := d.disk.Link(tmp, name)
	if err == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, lerr := d.disk.Lstat(name); lerr == nil {
		return fmt.Errorf("%w: blob", ErrExists)
	}
	if err := d.disk.Rename(tmp, name); err != nil {
		return fmt.Errorf("storage: create blob: %w", err)
	}
	return nil
}

// Open implements [Blobs].
func (d *DirBlobs) Open(ctx context.Context, id string) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := CheckBlob(id); err != nil {
		return nil, err
	}
	f, err := d.disk.Open(d.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: blob", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("storage: open blob: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("storage: open blob: %w", err)
	}
	return &fileBlob{f, info.Size()}, nil
}

// Delete implements [Blobs]. The directory is synced.
func (d *DirBlobs) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckBlob(id); err != nil {
		return err
	}
	name := d.file(id)
	err := d.disk.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // who removed it may have died before syncing
		err = d.syncNames(name)
	}
	if err != nil {
		return fmt.Errorf("storage: delete blob: %w", err)
	}
	return nil
}

// List implements [Blobs]. Every page reads all names of the directory.
func (d *DirBlobs) List(ctx context.Context, after string, limit int) ([]string, error) {
	var ids []string
	err := d.walk(ctx, "", func(rel string) {
		if id, ok := idOf(rel); ok && id > after {
			ids = append(ids, id)
		}
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("storage: list blobs: %w", err)
	}
	slices.Sort(ids)
	return slices.Clone(ids[:min(len(ids), PageSize(limit))]), nil
}

// walk calls f with the path of each file of blobs below a folder.
func (d *DirBlobs) walk(ctx context.Context, folder string, f func(rel string)) error {
	names, err := d.disk.ReadDir(filepath.Join(d.path, folder))
	if err != nil && !(folder != "" && errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	for _, e := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		rel := filepath.Join(folder, e.Name())
		switch {
		case !strings.HasPrefix(rel, blobPrefix):
		case !e.IsDir():
			f(rel)
		case strings.HasSuffix(rel, folderMark):
			if err := d.walk(ctx, rel, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// file returns the path of a blob. Ids become names that every file system
// keeps apart: other bytes than digits, lower-case letters and "-_" become "="
// and two hexadecimal digits.
func (d *DirBlobs) file(id string) string {
	var b strings.Builder
	b.WriteString(blobPrefix)
	for i := range len(id) {
		c := id[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', strings.IndexByte(safe, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	name := b.String()
	parts := []string{d.path}
	for len(name) > maxName {
		parts = append(parts, name[:maxName]+folderMark)
		name = name[maxName:]
	}
	return filepath.Join(append(parts, name)...)
}

// idOf is the inverse of file, for a path relative to the directory.
func idOf(rel string) (id string, ok bool) {
	name := strings.ReplaceAll(filepath.ToSlash(rel), folderMark+"/", "")
	name, ok = strings.CutPrefix(name, blobPrefix)
	if !ok {
		return "", false
	}
	head, rest, more := strings.Cut(name, "=")
	b := []byte(head)
	for more {
		if len(rest) < 2 {
			return "", false
		}
		c, err := hex.DecodeString(rest[:2])
		if err != nil {
			return "", false
		}
		b = append(b, c...)
		head, rest, more = strings.Cut(rest[2:], "=")
		b = append(b, head...)
	}
	return string(b), CheckBlob(string(b)) == nil
}

type fileBlob struct {
	f    diskFile
	size int64
}

func (b *fileBlob) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }
func (b *fileBlob) Size() int64                             { return b.size }
func (b *fileBlob) Close() error                            { return b.f.Close() }

// makeDir creates a directory and its parents.
func (d *DirBlobs) makeDir(path string) error {
	if info, err := d.disk.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.makeDir(parent); err != nil {
			return err
		}
	}
	if err := d.disk.Mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.disk.SyncDir(parent)
}

// syncNames makes the name of a blob durable, and those of the folders it is in,
// which another process may have made and not synced.
func (d *DirBlobs) syncNames(name string) error {
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		err := d.disk.SyncDir(dir)
		if dir == d.path {
			return err
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleting what never was
			return err
		}
	}
}
