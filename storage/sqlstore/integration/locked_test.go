package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

func lockedCommit(t *testing.T, s *sqlstore.Store, id string, decide func(held storage.Record, get storage.GetFunc) []storage.Batch) (ran bool, outs []storage.Outcome, busy []bool) {
	t.Helper()
	outs, busy, err := s.CommitLocked(t.Context(), []storage.Key{key(id)}, func(held []storage.Record, get storage.GetFunc) []storage.Batch {
		ran = true
		if assert.Len(t, held, 1) {
			assert.Equal(t, key(id), held[0].Key)
			return decide(held[0], get)
		}
		return nil
	})
	require.NoError(t, err)
	return ran, outs, busy
}

// CommitLocked holds the record from before decide runs until its batches are
// stored, and stores what Commit would.
func TestCommitLocked(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := d.open(t, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("hot", "1"), create("gone", "1"), create("taken", "1")}}))
		ran, outs, _ := lockedCommit(t, s, "hot", func(held storage.Record, get storage.GetFunc) []storage.Batch {
			assert.Equal(t, uint64(1), held.Version)
			recs, err := get(t.Context(), []storage.Key{key("taken"), key("none")})
			if assert.NoError(t, err) {
				assert.Equal(t, []uint64{1, 0}, []uint64{recs[0].Version, recs[1].Version})
			}
			if d.dialect != sqlstore.SQLite { // whose other writers wait
				_, busy, err := s.CommitNoWait(t.Context(), []storage.Batch{{Writes: []storage.Write{write("hot", 1, "theirs")}}})
				assert.NoError(t, err)
				assert.Equal(t, []bool{true}, busy)
			}
			return []storage.Batch{
				{Writes: []storage.Write{write("hot", 1, "2"), create("new", "1")}, Entries: []storage.Entry{entry("hot", 1), entry("new", 1)}},
				{Writes: []storage.Write{write("taken", 7, "lost"), create("never", "1")}},
				{Writes: []storage.Write{{Key: key("gone"), Expect: 1, Delete: true}}},
			}
		})
		require.True(t, ran)
		assert.Equal(t, []bool{true, false, true}, []bool{outs[0].OK, outs[1].OK, outs[2].OK})
		assert.Equal(t, []uint64{2, 1, 0, 1, 0}, versions(t, s, "hot", "new", "gone", "taken", "never"))

		// Somebody else created one of the records: nothing is stored.
		ran, outs, _ = lockedCommit(t, s, "hot", func(held storage.Record, get storage.GetFunc) []storage.Batch {
			return []storage.Batch{{Writes: []storage.Write{write("hot", held.Version, "3"), create("taken", "x")}}}
		})
		require.True(t, ran)
		assert.False(t, outs[0].OK)

		// Nothing to store, and an absent record.
		ran, outs, _ = lockedCommit(t, s, "none", func(held storage.Record, get storage.GetFunc) []storage.Batch {
			assert.Zero(t, held.Version)
			return nil
		})
		require.True(t, ran)
		assert.Empty(t, outs)
		_, _, err := s.CommitLocked(t.Context(), []storage.Key{key("hot")}, func([]storage.Record, storage.GetFunc) []storage.Batch {
			return []storage.Batch{{Writes: []storage.Write{write("hot", 2, "x"), write("hot", 2, "y")}}}
		})
		require.ErrorIs(t, err, storage.ErrBatch)
		assert.Equal(t, []uint64{2, 1}, versions(t, s, "hot", "taken"))
	})
}

// A record that a host keeps for longer than a moment is not waited for, and the
// end of the context is its error.
func TestCommitLockedGivesUp(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("the busy timeout of the DSN decides")
		}
		db := d.connect(t, d.driver, d.dsn(t))
		s, _ := d.openOn(t, db, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("hot", "1"), create("free", "1")}}))
		tx := begin(t, db, nil)
		require.Equal(t, []uint64{1}, versions(t, s.Bind(tx), "hot"))
		none := func(storage.Record, storage.GetFunc) []storage.Batch { return nil }
		ran, outs, busy := lockedCommit(t, s, "hot", none)
		assert.False(t, ran)
		assert.Nil(t, outs)
		assert.Nil(t, busy)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, _, err := s.CommitLocked(ctx, []storage.Key{key("hot")}, func([]storage.Record, storage.GetFunc) []storage.Batch {
			t.Error("decided without the record")
			return nil
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		// What decide wants to write as well may be held, too.
		ran, outs, busy = lockedCommit(t, s, "free", func(held storage.Record, get storage.GetFunc) []storage.Batch {
			return []storage.Batch{{Writes: []storage.Write{write("free", 1, "2")}}, {Writes: []storage.Write{write("hot", 1, "2")}}}
		})
		require.True(t, ran)
		assert.Equal(t, []bool{true, false}, []bool{outs[0].OK, outs[1].OK})
		assert.Equal(t, []bool{false, true}, busy)
		require.NoError(t, tx.Rollback())
		ran, _, _ = lockedCommit(t, s, "hot", none)
		assert.True(t, ran)
	})
}
