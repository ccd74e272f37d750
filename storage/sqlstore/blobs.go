package sqlstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/storage"
)

// Blobs keeps blobs in the tables blob and blob_part of the store's database,
// in parts of 256 KiB. A part is a statement of its own: a slow reader holds no
// transaction open. The row of blob, written last, makes the parts count.
//
// Deleting removes the rows; their bytes leave the disk when the database
// reuses the space: VACUUM of PostgreSQL and SQLite, OPTIMIZE TABLE of MySQL.
type Blobs struct{ s *Store }

var _ storage.Blobs = (*Blobs)(nil)

// Blobs returns the blobs of the store's database.
func (s *Store) Blobs() *Blobs { return &Blobs{s} }

const (
	blobPart   = 256 << 10
	blobWindow = 4                // parts that a reader keeps
	blobLimit  = 30 * time.Second // of one read, which has no context
	orphanAge  = 7 * 24 * time.Hour
)

type blobTexts struct {
	open    string // id -> token, size
	read    string // token, first, last -> n, data
	list    string // after, limit -> id
	part    string // token, n, data
	finish  string // id, token, size, token, parts: one row if all parts are there and id is free
	remove  string // id, token
	forget  string // token
	orphans string // token -> tokens below of parts without a blob
}

// newToken names the parts of one attempt to create a blob. Older ones sort
// before younger ones.
func newToken(at time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	return fmt.Sprintf("%016x%s", at.UnixMicro(), hex.EncodeToString(random[:]))
}

// Create implements [storage.Blobs].
func (b *Blobs) Create(ctx context.Context, id string, r io.Reader) (size int64, err error) {
	if err := storage.CheckBlob(id); err != nil {
		return 0, err
	}
	if err := b.s.ready(ctx, b.s.db, true); err != nil {
		return 0, err
	}
	if _, _, err := b.find(ctx, id); !errors.Is(err, storage.ErrNotFound) {
		if err == nil {
			err = fmt.Errorf("%w: blob", storage.ErrExists)
		}
		return 0, err
	}
	t := &b.s.engine.text().blobs
	token := newToken(time.Now())
	defer func() {
		if err != nil && !errors.Is(err, storage.ErrUnknown) {
			_, _ = b.exec(context.WithoutCancel(ctx), t.forget, b.s.engine.key(token)) // or Sweep does, later
		}
	}()
	parts := int64(0)
	for buf := make([]byte, blobPart); ; parts++ {
		n, rerr := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := b.exec(ctx, t.part, b.s.engine.key(token), parts, buf[:n]); err != nil {
				return 0, b.s.fail(ctx, "create blob", err)
			}
			size += int64(n)
		}
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF && n > 0 {
			if n > 0 {
				parts++
			}
			break
		}
		if rerr != nil {
			return 0, rerr
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, b.s.fail(ctx, "create blob", err)
	}
	key := b.s.engine.key
	made, err := b.exec(context.WithoutCancel(ctx), t.finish, key(id), key(token), size, key(token), parts)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", storage.ErrUnknown, b.s.fail(ctx, "create blob", err))
	case made == 1:
		return size, nil
	}
	if _, _, err := b.find(ctx, id); err != nil {
		return 0, fmt.Errorf("sqlstore: create blob: its parts were swept meanwhile: %w", err)
	}
	return 0, fmt.Errorf("%w: blob", storage.ErrExists)
}

// exec runs one statement that commits by itself.
func (b *Blobs) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	run := func(q Querier) error {
		res, err := q.ExecContext(ctx, query, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	}
	for try := 0; ; try++ {
		if b.s.dialect == SQLite {
			err = b.s.sqliteTx(ctx, run)
		} else {
			err = run(b.s.db)
		}
		if err == nil || b.s.classify(err) == classOther || errors.Is(err, storage.ErrUnknown) || try == maxTries {
			return n, err
		}
		if perr := b.s.pause(ctx, min(maxBackoff, time.Millisecond<<min(try, 10))); perr != nil {
			return n, perr
		}
	}
}

func (b *Blobs) find(ctx context.Context, id string) (token string, size int64, err error) {
	err = queryRow(ctx, b.s.db, b.s.engine.text().blobs.open, []any{b.s.engine.key(id)}, &token, &size)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, fmt.Errorf("%w: blob", storage.ErrNotFound)
	}
	return token, size, b.s.fail(ctx, "open blob", err)
}

// Open implements [storage.Blobs].
func (b *Blobs) Open(ctx context.Context, id string) (storage.Blob, error) {
	if err := storage.CheckBlob(id); err != nil {
		return nil, err
	}
	if err := b.s.ready(ctx, b.s.db, true); err != nil {
		return nil, err
	}
	token, size, err := b.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return &blob{s: b.s, token: token, size: size}, nil
}

// Delete implements [storage.Blobs].
func (b *Blobs) Delete(ctx context.Context, id string) error {
	if err := storage.CheckBlob(id); err != nil {
		return err
	}
	if err := b.s.ready(ctx, b.s.db, true); err != nil {
		return err
	}
	token, _, err := b.find(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	t, key := &b.s.engine.text().blobs, b.s.engine.key
	if _, err := b.exec(ctx, t.remove, key(id), key(token)); err != nil {
		return b.s.fail(ctx, "delete blob", err)
	}
	_, err = b.exec(ctx, t.forget, key(token))
	return b.s.fail(ctx, "delete blob", err)
}

// List implements [storage.Blobs].
func (b *Blobs) List(ctx context.Context, after string, limit int) ([]string, error) {
	if err := b.s.ready(ctx, b.s.db, true); err != nil {
		return nil, err
	}
	rows, err := b.s.db.QueryContext(ctx, b.s.engine.text().blobs.list, b.s.engine.key(after), storage.PageSize(limit))
	if err != nil {
		return nil, b.s.fail(ctx, "list blobs", err)
	}
	var ids []string
	err = scan(rows, func() error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, b.s.fail(ctx, "list blobs", err)
	}
	return ids, nil
}

// Sweep removes parts that no blob has, left by crashes more than seven days
// ago, and returns of how many attempts. Nothing but space depends on it.
func (b *Blobs) Sweep(ctx context.Context) (n int, err error) {
	if err := b.s.ready(ctx, b.s.db, true); err != nil {
		return 0, err
	}
	t, key := &b.s.engine.text().blobs, b.s.engine.key
	rows, err := b.s.db.QueryContext(ctx, t.orphans, key(newToken(time.Now().Add(-orphanAge))))
	if err != nil {
		return 0, b.s.fail(ctx, "sweep blobs", err)
	}
	var tokens []string
	err = scan(rows, func() error {
		var token string
		err := rows.Scan(&token)
		tokens = append(tokens, token)
		return err
	})
	for ; err == nil && n < len(tokens); n++ {
		_, err = b.exec(ctx, t.forget, key(tokens[n]))
	}
	return n, b.s.fail(ctx, "sweep blobs", err)
}

// blob is an open blob. It holds no connection.
type blob struct {
	s     *Store
	token string
	size  int64

	mu     sync.Mutex
	window []blobPage // the parts read last, the oldest first
}

type blobPage struct {
	n    int64
	data []byte
}

func (b *blob) Size() int64  { return b.size }
func (b *blob) Close() error { return nil }

func (b *blob) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("sqlstore: read blob: negative offset")
	}
	for n < len(p) && off < b.size {
		data, err := b.part(off / blobPart)
		if err != nil {
			return n, err
		}
		c := copy(p[n:], data[off%blobPart:])
		n, off = n+c, off+int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// part returns part n, whole: as much of it as the size says.
func (b *blob) part(n int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.window, func(p blobPage) bool { return p.n == n }); i >= 0 {
		return b.window[i].data, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), blobLimit)
	defer cancel()
	var at int64
	var data []byte
	err := queryRow(ctx, b.s.db, b.s.engine.text().blobs.read, []any{b.s.engine.key(b.token), n, n}, &at, &data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("%w: blob was deleted while open", storage.ErrNotFound)
	case err != nil:
		return nil, b.s.fail(ctx, "read blob", err)
	case int64(len(data)) != min(blobPart, b.size-n*blobPart):
		return nil, fmt.Errorf("sqlstore: read blob: %w: part of %d bytes", storage.ErrCorrupt, len(data))
	}
	if len(b.window) == blobWindow {
		b.window = slices.Delete(b.window, 0, 1)
	}
	b.window = append(b.window, blobPage{n, bytes.Clone(data)})
	return data, nil
}
