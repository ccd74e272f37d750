package evidence_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// spellings are the forms in which a planted value would lie somewhere (B6): as it
// is, quoted for JSON, hexadecimal in either case, base64 of either alphabet at
// every alignment, UTF-16 in either order and percent-coded.
func spellings(s string) [][]byte {
	var big, little []byte
	for _, u := range utf16.Encode([]rune(s)) {
		big, little = append(big, byte(u>>8), byte(u)), append(little, byte(u), byte(u>>8))
	}
	quoted, escaped := must(json.Marshal(s)), ""
	for _, u := range utf16.Encode([]rune(s)) {
		escaped += fmt.Sprintf(`\u%04x`, u)
	}
	percent := ""
	for _, c := range []byte(s) {
		percent += fmt.Sprintf("%%%02X", c)
	}
	out := [][]byte{[]byte(s), bytes.Trim(quoted, `"`), []byte(escaped), big, little, []byte(url.QueryEscape(s)), []byte(url.PathEscape(s)), []byte(percent), []byte(strings.ToLower(percent))}
	for _, raw := range [][]byte{[]byte(s), big, little} {
		h := hex.EncodeToString(raw)
		out = append(out, []byte(h), []byte(strings.ToUpper(h)))
		for i := range 3 {
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
				x := enc.EncodeToString(append([]byte("xyz")[:i:i], raw...))
				out = append(out, []byte(x[(i*8+5)/6:len(x)-4]))
			}
		}
	}
	// What is as short as chance is no find: the other spellings stay.
	return append(out[:1:1], slices.DeleteFunc(out[1:], func(x []byte) bool { return len(x) < 6 })...)
}

// The hunter finds what it is to find.
func TestReach_B6_SpellingsAreFound(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"13971300977", "张一珂"} {
		var utf []byte
		for _, u := range utf16.Encode([]rune(s)) {
			utf = append(utf, byte(u), byte(u>>8))
		}
		for name, where := range map[string][]byte{
			"raw": []byte("a" + s), "json": must(json.Marshal(map[string]string{"x": s})), "hex": []byte(hex.EncodeToString([]byte("ab" + s + "c"))),
			"base64":     []byte(base64.StdEncoding.EncodeToString([]byte("some " + s + " more"))),
			"base64url":  []byte(base64.RawURLEncoding.EncodeToString([]byte("some" + s + "more"))),
			"utf-16":     utf,
			"percent":    []byte("https://x.example/?q=" + url.QueryEscape("a"+s)),
			"hex utf-16": []byte(hex.EncodeToString(utf)),
		} {
			ok := false
			for _, x := range spellings(s) {
				ok = ok || bytes.Contains(where, x)
			}
			assert.True(t, ok, "%s of %s", name, s)
		}
	}
}

// A census knows every kind of record and stream that was ever written, so that
// all a store holds can be read, whatever comes to be kept there.
type census struct {
	storage.Store
	mu    sync.Mutex
	kinds map[[2]string]bool
	keys  map[storage.Key]bool
}

func (s *census) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	s.mu.Lock()
	if s.kinds == nil {
		s.kinds, s.keys = map[[2]string]bool{}, map[storage.Key]bool{}
	}
	for _, b := range batches {
		for _, w := range b.Writes {
			s.kinds[[2]string{w.Key.Tenant, w.Key.Kind}] = true
		}
		for _, a := range b.Entries {
			s.keys[a.Stream] = true
		}
	}
	s.mu.Unlock()
	return s.Store.Commit(ctx, batches)
}

// everything is what the store gives to whoever reads all of it: keys, records,
// streams.
func (s *census) everything(t testing.TB) (out [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.kinds {
		for r, err := range storage.Scan(context.Background(), s.Store, k[0], k[1], "") {
			require.NoError(t, err)
			out = append(out, []byte(r.Key.ID), r.Data)
		}
	}
	for k := range s.keys {
		for e, err := range storage.Replay(context.Background(), s.Store, k, 0) {
			require.NoError(t, err)
			out = append(out, []byte(k.ID), e.Data)
		}
	}
	return out
}

// published is all that a log serves to the world.
func published(t testing.TB, w *world) (out [][]byte) {
	size := must(w.log.Checkpoint(w.ctx)).Size
	paths := []string{"checkpoint"}
	for level := -1; level < 2; level++ {
		name, n := "entries", size
		if level >= 0 {
			name = fmt.Sprint(level)
			for range level {
				n /= 256
			}
		}
		for i := uint64(0); i*256 < n; i++ {
			p := fmt.Sprintf("tile/%s/%03d", name, i)
			if n-i*256 < 256 {
				p += fmt.Sprintf(".p/%d", n-i*256)
			}
			paths = append(paths, p)
		}
	}
	for _, p := range paths {
		out = append(out, must(w.log.Published(w.ctx, p)))
	}
	return out
}

// P17 T32: whoever is gone opens to nobody any more, whatever the store still holds:
// with the root key and the tenant's, for every field of every event of theirs.
func TestErase_P17_T32_KeysThatAreLeftOpenNothing(t *testing.T) {
	t.Parallel()
	all := &census{}
	w := newWorld(t, func(s storage.Store) storage.Store { all.Store = s; return all })
	w.envelope("nda-17")
	li, wang := privacy.Subject{Tenant: "acme", ID: "li"}, privacy.Subject{Tenant: "acme", ID: "wang"}
	var of []evidence.Event
	for e, err := range w.log.Events(w.ctx, "acme", "nda-17", 0) {
		require.NoError(t, err)
		if len(e.Personal) > 0 {
			of = append(of, e)
		}
	}
	must(w.log.EraseSubject(w.ctx, li, evidence.Actor{ID: "dpo"}, "request"))
	for _, fresh := range []bool{false, true} {
		vault := w.vault
		if fresh { // in a process that has no key at hand
			vault = must(privacy.New(privacy.Config{Root: testRoot, Store: all, Now: w.clock}))
			require.NoError(t, vault.Unlock(w.ctx, "acme"))
		}
		ctx := vault.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk", Role: "support"})
		tried := map[privacy.Subject]int{}
		for _, e := range of {
			for _, p := range e.Personal {
				err := storage.Update(ctx, all, func(tx *storage.Tx) error {
					s, err := vault.SubjectOfTx(tx, "acme", "nda-17", p.K)
					if err != nil {
						return err
					}
					tried[s]++
					_, err = vault.OpenTx(ctx, tx, "acme", privacy.Context{Env: "nda-17", Seq: e.Seq}, p.K, []privacy.Field{p.Field}, privacy.PurposeEvidence)
					if s == wang {
						require.NoError(t, err)
						return nil
					}
					require.ErrorIs(t, err, privacy.ErrErased)
					return nil
				})
				if err != nil {
					require.ErrorIs(t, err, privacy.ErrErased)
				}
			}
		}
		assert.Positive(t, tried[wang])
	}
	for _, b := range all.everything(t) {
		for _, s := range []string{"李明", "13800138000"} {
			for _, x := range spellings(s) {
				require.False(t, bytes.Contains(b, x))
			}
		}
	}
}
