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
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// bentBlobs is a blob store that is right but for the methods it replaces.
type bentBlobs struct {
	storage.MemBlobs
	create func(ctx context.Context, id string, r io.Reader) (int64, error)
	open   func(ctx context.Context, id string) (storage.Blob, error)
	delete func(ctx context.Context, id string) error
	list   func(ctx context.Context, after string, limit int) ([]string, error)
}

func (b *bentBlobs) Create(ctx context.Context, id string, r io.Reader) (int64, error) {
	if b.create != nil {
		return b.create(ctx, id, r)
	}
	return b.MemBlobs.Create(ctx, id, r)
}

func (b *bentBlobs) Open(ctx context.Context, id string) (storage.Blob, error) {
	if b.open != nil {
		return b.open(ctx, id)
	}
	return b.MemBlobs.Open(ctx, id)
}

func (b *bentBlobs) Delete(ctx context.Context, id string) error {
	if b.delete != nil {
		return b.delete(ctx, id)
	}
	return b.MemBlobs.Delete(ctx, id)
}

func (b *bentBlobs) List(ctx context.Context, after string, limit int) ([]string, error) {
	if b.list != nil {
		return b.list(ctx, after, limit)
	}
	return b.MemBlobs.List(ctx, after, limit)
}

type oneBlob struct{ *bytes.Reader }

func (oneBlob) Close() error { return nil }

var blobZoo = []struct {
	name   string
	caught string
	bend   func(b *bentBlobs)
}{
	{"Create overwrites", "immutable, races", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			if storage.CheckBlob(id) == nil {
				_ = b.MemBlobs.Delete(ctx, id)
			}
			return b.MemBlobs.Create(ctx, id, r)
		}
	}},
	{"Create of the same bytes is no error", "immutable", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			n, err := b.MemBlobs.Create(ctx, id, r)
			if errors.Is(err, storage.ErrExists) {
				return n, nil
			}
			return n, err
		}
	}},
	{"a failed reader leaves half a blob", "whole or not at all", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			data, err := io.ReadAll(r)
			n, cerr := b.MemBlobs.Create(ctx, id, bytes.NewReader(data))
			return n, errors.Join(err, cerr)
		}
	}},
	{"the reader's error is hidden", "whole or not at all", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			n, err := b.MemBlobs.Create(ctx, id, r)
			if err != nil && !errors.Is(err, storage.ErrExists) && ctx.Err() == nil {
				return 0, fmt.Errorf("create: %v", err)
			}
			return n, err
		}
	}},
	{"a blob shows while it is written", "whole or not at all", func(b *bentBlobs) {
		var mu sync.Mutex
		writing := make(map[string]bool)
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			mu.Lock()
			writing[id] = true
			mu.Unlock()
			n, err := b.MemBlobs.Create(ctx, id, r)
			mu.Lock()
			delete(writing, id)
			mu.Unlock()
			return n, err
		}
		b.open = func(ctx context.Context, id string) (storage.Blob, error) {
			mu.Lock()
			defer mu.Unlock()
			if writing[id] {
				return oneBlob{bytes.NewReader(nil)}, nil
			}
			return b.MemBlobs.Open(ctx, id)
		}
	}},
	{"one read is taken for the whole", "create and open", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			buf := make([]byte, 1<<16)
			n, err := r.Read(buf)
			if err != nil && err != io.EOF {
				return 0, err
			}
			return b.MemBlobs.Create(ctx, id, bytes.NewReader(buf[:n]))
		}
	}},
	{"the size is wrong", "create and open", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			_, err := b.MemBlobs.Create(ctx, id, r)
			return 0, err
		}
	}},
	{"an absent blob is empty", "create and open, delete", func(b *bentBlobs) {
		b.open = func(ctx context.Context, id string) (storage.Blob, error) {
			blob, err := b.MemBlobs.Open(ctx, id)
			if errors.Is(err, storage.ErrNotFound) {
				return oneBlob{bytes.NewReader(nil)}, nil
			}
			return blob, err
		}
	}},
	{"Delete of an absent blob is an error", "delete", func(b *bentBlobs) {
		b.delete = func(ctx context.Context, id string) error {
			if _, err := b.MemBlobs.Open(ctx, id); err != nil {
				return err
			}
			return b.MemBlobs.Delete(ctx, id)
		}
	}},
	{"Delete only hides the blob from List", "delete", func(b *bentBlobs) {
		gone := make(map[string]bool)
		b.delete = func(_ context.Context, id string) error { gone[id] = true; return nil }
		b.list = func(ctx context.Context, after string, limit int) ([]string, error) {
			ids, err := b.MemBlobs.List(ctx, after, limit)
			return slices.DeleteFunc(ids, func(id string) bool { return gone[id] }), err
		}
	}},
	{"List gives the newest first", "list, odd ids", func(b *bentBlobs) {
		b.list = func(ctx context.Context, after string, limit int) ([]string, error) {
			ids, err := b.MemBlobs.List(ctx, after, limit)
			slices.Reverse(ids)
			return ids, err
		}
	}},
	{"List gives short pages", "list", func(b *bentBlobs) {
		b.list = func(ctx context.Context, after string, limit int) ([]string, error) {
			return b.MemBlobs.List(ctx, after, min(storage.PageSize(limit), 30))
		}
	}},
	{"case is folded", "odd ids", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			return b.MemBlobs.Create(ctx, strings.ToLower(id), r)
		}
		b.open = func(ctx context.Context, id string) (storage.Blob, error) {
			return b.MemBlobs.Open(ctx, strings.ToLower(id))
		}
	}},
	{"ids are paths", "odd ids", func(b *bentBlobs) {
		b.create = func(ctx context.Context, id string, r io.Reader) (int64, error) {
			return b.MemBlobs.Create(ctx, strings.ReplaceAll(id, "//", "/"), r)
		}
	}},
	{"List returns its own slice", "slices", func(b *bentBlobs) {
		var ids []string
		b.list = func(ctx context.Context, after string, limit int) ([]string, error) {
			if ids != nil {
				return ids, nil
			}
			var err error
			ids, err = b.MemBlobs.List(ctx, after, limit)
			return ids, err
		}
	}},
}

func TestBlobZoo(t *testing.T) {
	caught := make(map[string]bool)
	for _, animal := range blobZoo {
		t.Run(animal.name, func(t *testing.T) {
			for name := range strings.SplitSeq(animal.caught, ", ") {
				i := slices.IndexFunc(blobRules, func(r blobRule) bool { return r.name == name })
				require.GreaterOrEqual(t, i, 0, "no rule %q", name)
				b := new(bentBlobs)
				animal.bend(b)
				err := blobRules[i].check(b)
				require.Error(t, err, "rule %q lets it pass", name)
				assert.ErrorContains(t, err, blobRules[i].text, "the rule is not printed")
				t.Log(err)
				caught[name] = true
			}
		})
	}
	for _, r := range blobRules {
		assert.True(t, caught[r.name], "no animal of the zoo breaks rule %q", r.name)
	}
}
