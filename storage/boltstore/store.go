package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/countersign/countersign/storage"
)

// ErrLocked says that another process, or another Store, has the file open.
var ErrLocked = errors.New("boltstore: file is locked")

// Options change how [Open] works. The zero value is the default.
type Options struct {
	// Timeout is how long Open waits for another process to let go of the file
	// before [ErrLocked]; 0 is one second.
	Timeout time.Duration
	// Volatile leaves out the syncs: a crash of the machine may lose what was
	// acknowledged, or the whole file. For tests and throw-away data.
	Volatile bool
}

// A Store is a [storage.Store] in one file.
type Store struct {
	db     *bolt.DB
	writer chan struct{} // the token of the one writer, so that waiting heeds a context
}

var _ storage.Serial = (*Store)(nil)

// Serial implements [storage.Serial].
func (s *Store) Serial() bool { return true }

var (
	recordBucket = []byte("record")
	entryBucket  = []byte("entry")
	dueBucket    = []byte("due")
	metaBucket   = []byte("meta")

	formatKey = []byte("format")
	format    = []byte("countersign-1")
)

// Open opens the store in a file, which it creates if absent, readable by its
// owner only. nil options are the defaults. It returns [ErrLocked] if the file
// is in use, and [storage.ErrCorrupt] if it is not a store's, was cut off, or has
// a damaged page. It reads the whole file, to know its free pages.
func Open(path string, o *Options) (s *Store, err error) {
	if o == nil {
		o = new(Options)
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	info, statErr := os.Stat(path)
	if statErr == nil && info.Size() > 0 {
		if err := intact(path, timeout); err != nil {
			return nil, err
		}
	}
	defer watched(&err)()
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        timeout,
		NoSync:         o.Volatile,
		NoGrowSync:     o.Volatile,
		NoFreelistSync: true, // rebuilt by Open; Commit stays fast in a large file
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
	})
	if err != nil {
		return nil, openError(path, err)
	}
	s = &Store{db: db, writer: make(chan struct{}, 1)}
	if err := s.prepare(); err != nil {
		db.Close()
		return nil, err
	}
	if statErr != nil && !o.Volatile {
		if err := syncDir(filepath.Dir(path)); err != nil {
			db.Close()
			return nil, fmt.Errorf("boltstore: open: %w", err)
		}
	}
	return s, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s", ErrLocked, filepath.Base(path))
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return fmt.Errorf("boltstore: open: %w: %w", storage.ErrCorrupt, err)
	}
	return fmt.Errorf("boltstore: open: %w", err)
}

// prepare makes the buckets of a new file and knows an old one.
func (s *Store) prepare() error {
	found := false
	err := s.view(context.Background(), func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return fmt.Errorf("boltstore: open: %w: the file belongs to another program", storage.ErrCorrupt)
			}
			return nil
		}
		found = true
		if got := meta.Get(formatKey); !bytes.Equal(got, format) {
			return fmt.Errorf("boltstore: open: %w: format %q, this release reads %q", storage.ErrCorrupt, got, format)
		}
		for _, name := range [][]byte{recordBucket, entryBucket, dueBucket} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("boltstore: open: %w: bucket %q is missing", storage.ErrCorrupt, name)
			}
		}
		return nil
	})
	if err != nil || found {
		return err
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{recordBucket, entryBucket, dueBucket, metaBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, format)
	})
	if err != nil {
		return fmt.Errorf("boltstore: open: %w", err)
	}
	return nil
}

// Close waits for running calls and closes the file. Later calls, but another
// Close, give [storage.ErrClosed].
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("boltstore: close: %w", err)
	}
	return nil
}

// Backup writes a copy of the file to w, as it is at one instant, while the
// store stays in use.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	return s.view(ctx, func(tx *bolt.Tx) error {
		if _, err := tx.WriteTo(ctxWriter{ctx, w}); err != nil {
			return fmt.Errorf("boltstore: backup: %w", err)
		}
		return nil
	})
}

// Compact writes the store to a new file at path, without free pages: what was
// deleted is not in it. The store stays in use; to switch over, stop writing,
// compact, close, and open the new file.
func (s *Store) Compact(ctx context.Context, path string) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer watched(&err)()
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("boltstore: compact: %w: %s", storage.ErrExists, filepath.Base(path))
	}
	dst, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("boltstore: compact: %w", err)
	}
	err = bolt.Compact(dst, s.db, 1<<20)
	if err = errors.Join(err, dst.Close()); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("boltstore: compact: %w", closed(err))
	}
	return nil
}

// view runs a read. bbolt panics on pages that it cannot make sense of; that is
// damage of the file, not a mistake of the program.
func (s *Store) view(ctx context.Context, fn func(*bolt.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer watched(&err)()
	return closed(s.db.View(fn))
}

// watched turns panics until the function that it returns is called into
// ErrCorrupt: bbolt's own, and faults of its memory map, where the file was cut
// off or the disk does not answer.
func watched(err *error) (end func()) {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("boltstore: %w: %v", storage.ErrCorrupt, p)
		}
	}
}

func closed(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return fmt.Errorf("boltstore: %w", storage.ErrClosed)
	}
	return err
}

// ctxWriter ends with the context between writes. It lives within one call.
type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c ctxWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// syncDir makes the name of a new file durable. Windows has no such call.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
