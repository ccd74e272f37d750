package evidence

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/storage"
)

// Published reads what a log publishes under a path of C2SP tlog-tiles:
// "checkpoint", "tile/<level>/<n>", "tile/entries/<n>", the last two also partial,
// with ".p/<width>". Whoever holds it can check every inclusion and consistency
// themselves. Nothing in it is personal, but how many events an envelope has
// can be counted, so nothing is published unless the host serves it. What is
// not within the newest checkpoint, or not a path in its one form, is
// [ErrNotFound].
func (l *Log) Published(ctx context.Context, path string) ([]byte, error) {
	h, err := l.head(ctx)
	if err != nil {
		return nil, err
	}
	if path == "checkpoint" && h.Size > 0 {
		return []byte(h.Note), nil
	}
	level, n, width, ok := parseTilePath(path)
	if !ok || !within(level, n, width, h.Size) {
		return nil, ErrNotFound
	}
	if level < 0 {
		recs, err := l.store.Get(ctx, []storage.Key{leavesKey(n)})
		if err != nil {
			return nil, fmt.Errorf("evidence: read leaves: %w", err)
		}
		size := 0
		list := splitLeaves(recs[0].Data)
		if len(list) < width {
			return nil, fmt.Errorf("evidence: leaves too short: %w", storage.ErrCorrupt)
		}
		for _, leaf := range list[:width] {
			size += 2 + len(leaf)
		}
		return recs[0].Data[:size], nil
	}
	b, err := tiles{ctx, l.store}.ReadTiles([]tlog.Tile{{H: tileHeight, L: level, N: n, W: width}})
	if err != nil {
		return nil, err
	}
	return b[0], nil
}

// within reports whether a tile of a width is part of a tree of a size.
func within(level int, n int64, width int, size uint64) bool {
	for range level {
		size /= tileWidth
	}
	return uint64(n) < 1<<40 && uint64(n)*tileWidth+uint64(width) <= size
}

// parseTilePath reads a path of C2SP tlog-tiles; level is -1 for entries.
func parseTilePath(path string) (level int, n int64, width int, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	kind, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return 0, 0, 0, false
	}
	if kind == "entries" {
		level = -1
	} else {
		v, err := strconv.ParseUint(kind, 10, 6)
		if err != nil || strconv.FormatUint(v, 10) != kind {
			return 0, 0, 0, false
		}
		level = int(v)
	}
	width = tileWidth
	if at, w, partial := strings.Cut(rest, ".p/"); partial {
		v, err := strconv.ParseUint(w, 10, 8)
		if err != nil || v == 0 || strconv.FormatUint(v, 10) != w {
			return 0, 0, 0, false
		}
		rest, width = at, int(v)
	}
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		if i < len(parts)-1 {
			if p, ok = strings.CutPrefix(p, "x"); !ok {
				return 0, 0, 0, false
			}
		}
		v, err := strconv.ParseUint(p, 10, 10)
		if err != nil || len(p) != 3 || len(parts) > 5 || i == 0 && len(parts) > 1 && v == 0 {
			return 0, 0, 0, false
		}
		n = n*1000 + int64(v)
	}
	return level, n, width, true
}

// TileHandler serves [Log.Published] over HTTP, read only.
func (l *Log) TileHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		b, err := l.Published(r.Context(), path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if path == "checkpoint" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
		} else { // a tile never changes
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		_, _ = w.Write(b)
	})
}
