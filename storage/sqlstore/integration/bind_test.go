package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
	"github.com/countersign/countersign/storage/storagetest"
)

func key(id string) storage.Key { return storage.Key{Tenant: "acme", Kind: "t.rec", ID: id} }

func create(id, data string) storage.Write { return storage.Write{Key: key(id), Data: []byte(data)} }

func write(id string, expect uint64, data string) storage.Write {
	return storage.Write{Key: key(id), Expect: expect, Data: []byte(data)}
}

func entry(id string, seq uint64) storage.Entry {
	return storage.Entry{Stream: key(id), Seq: seq, At: time.Unix(1, 0), Data: []byte("e")}
}

func commit(t *testing.T, s storage.Store, b storage.Batch) bool {
	t.Helper()
	outs, err := s.Commit(t.Context(), []storage.Batch{b})
	require.NoError(t, err)
	require.Len(t, outs, 1)
	return outs[0].OK
}

func versions(t *testing.T, s storage.Store, ids ...string) []uint64 {
	t.Helper()
	var keys []storage.Key
	for _, id := range ids {
		keys = append(keys, key(id))
	}
	recs, err := s.Get(t.Context(), keys)
	require.NoError(t, err)
	var vs []uint64
	for _, r := range recs {
		vs = append(vs, r.Version)
	}
	return vs
}

// begin starts a transaction of the host. Isolation is what the host likes.
func begin(t *testing.T, db *sql.DB, o *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() }) // of a test that failed
	return tx
}

// hosts are the isolation levels that a host may use.
func hosts(d database) map[string]*sql.TxOptions {
	if d.dialect == sqlstore.SQLite {
		return map[string]*sql.TxOptions{"default": nil}
	}
	return map[string]*sql.TxOptions{"default": nil, "read committed": {Isolation: sql.LevelReadCommitted},
		"repeatable read": {Isolation: sql.LevelRepeatableRead}, "serializable": {Isolation: sql.LevelSerializable}}
}

// What a host's transaction writes is visible within it at once, outside once
// the host commits, and never if the host rolls back.
func TestBindVisibility(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		for name, o := range hosts(d) {
			t.Run(name, func(t *testing.T) {
				db := d.connect(t, d.driver, d.dsn(t))
				s, _ := d.openOn(t, db, nil)
				require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("old", "1"), create("gone", "1")}}))
				for _, end := range []string{"rollback", "commit"} {
					tx := begin(t, db, o)
					in := s.Bind(tx)
					assert.Equal(t, []uint64{1, 1, 0}, versions(t, in, "old", "gone", "new"))
					require.True(t, commit(t, in, storage.Batch{
						Writes:  []storage.Write{write("old", 1, "2"), create("new", "1"), {Key: key("gone"), Expect: 1, Delete: true}},
						Entries: []storage.Entry{entry("old", 1), entry("new", 1), entry("new", 2)},
					}))
					assert.Equal(t, []uint64{2, 0, 1}, versions(t, in, "old", "gone", "new"))
					list, err := in.List(t.Context(), "acme", "t.rec", "", 0)
					require.NoError(t, err)
					assert.Len(t, list, 2)
					es, err := in.Entries(t.Context(), key("new"), 0, 0)
					require.NoError(t, err)
					assert.Len(t, es, 2)
					assert.Equal(t, []uint64{1, 1, 0}, versions(t, s, "old", "gone", "new"), "outside")
					if end == "commit" {
						require.NoError(t, tx.Commit())
						continue
					}
					require.NoError(t, tx.Rollback())
					assert.Equal(t, []uint64{1, 1, 0}, versions(t, s, "old", "gone", "new"), "after rollback")
					es, err = s.Entries(t.Context(), key("old"), 0, 0)
					require.NoError(t, err)
					assert.Empty(t, es)
				}
				assert.Equal(t, []uint64{2, 0, 1}, versions(t, s, "old", "gone", "new"), "after commit")
			})
		}
	})
}

// A lost race leaves the host's transaction usable, and nothing of the batch
// that lost: not even what it created before it met the other's record.
func TestBindAfterConflict(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.driver, d.dsn(t))
		s, _ := d.openOn(t, db, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("m", "1"), create("w", "1")}}))
		tx := begin(t, db, nil)
		in := s.Bind(tx)
		for name, lost := range map[string]storage.Batch{
			"create": {
				Writes:  []storage.Write{create("a", "x"), create("m", "x"), create("z", "x"), write("w", 1, "x")},
				Entries: []storage.Entry{entry("a", 1), entry("w", 1)},
			},
			"write":  {Writes: []storage.Write{create("a", "x"), write("w", 7, "x")}},
			"check":  {Writes: []storage.Write{create("a", "x"), {Key: key("m"), Expect: 2, Check: true}}},
			"delete": {Writes: []storage.Write{create("a", "x"), {Key: key("m"), Expect: 2, Delete: true}}},
			"absent": {Writes: []storage.Write{create("a", "x"), write("none", 1, "x")}},
			"stream": {Writes: []storage.Write{create("a", "x"), write("w", 1, "x")}, Entries: []storage.Entry{entry("w", 2)}},
		} {
			assert.False(t, commit(t, in, lost), name)
			assert.Equal(t, []uint64{0, 1, 0, 1}, versions(t, in, "a", "m", "z", "w"), name)
		}
		// One batch of a call loses, the other does not.
		outs, err := in.Commit(t.Context(), []storage.Batch{
			{Writes: []storage.Write{create("b", "x"), create("m", "x")}},
			{Writes: []storage.Write{create("c", "x"), write("w", 1, "2")}, Entries: []storage.Entry{entry("c", 1)}},
		})
		require.NoError(t, err)
		assert.Equal(t, []bool{false, true}, []bool{outs[0].OK, outs[1].OK})
		require.NoError(t, tx.Commit())
		assert.Equal(t, []uint64{0, 0, 1, 1, 2, 0}, versions(t, s, "a", "b", "c", "m", "w", "z"))
	})
}

// A record that somebody else creates and commits while the host's transaction
// is open, after it looked, is a lost race within it.
func TestBindLosesACreation(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("SQLite has one writer: nobody else creates")
		}
		for _, o := range []*sql.TxOptions{nil, {Isolation: sql.LevelReadCommitted}} {
			losesACreation(t, d, o)
		}
	})
}

func losesACreation(t *testing.T, d database, o *sql.TxOptions) {
	db := d.connect(t, d.driver, d.dsn(t))
	s, _ := d.openOn(t, db, nil)
	tx := begin(t, db, o)
	in := s.Bind(tx)
	assert.Equal(t, []uint64{0, 0, 0}, versions(t, in, "a", "m", "z"))
	require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("m", "theirs")}}))
	assert.False(t, commit(t, in, storage.Batch{Writes: []storage.Write{create("a", "x"), create("m", "x"), create("z", "x")}}))
	assert.Equal(t, []uint64{0, 1, 0}, versions(t, in, "a", "m", "z"))
	require.True(t, commit(t, in, storage.Batch{Writes: []storage.Write{create("a", "x"), write("m", 1, "ours")}}))
	require.NoError(t, tx.Commit())
	assert.Equal(t, []uint64{1, 2, 0}, versions(t, s, "a", "m", "z"))
}

// Two hosts that lock records in opposite orders: the database ends one, who is
// told to start again, and then gets through.
func TestBindDeadlock(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("SQLite has one writer: nobody else locks")
		}
		db := d.connect(t, d.driver, d.dsn(t))
		s, _ := d.openOn(t, db, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("a", "0"), create("b", "0")}}))
		add := func(in storage.Store, id string) error {
			return storage.Update(t.Context(), in, func(tx *storage.Tx) error {
				recs, err := tx.Get(key(id))
				if err != nil {
					return err
				}
				return tx.Put(key(id), append(recs[0].Data, '+'), time.Time{})
			})
		}
		met := make(chan struct{}, 2)
		retried := make(chan bool, 2)
		host := func(first, second string) error {
			for try := 0; ; try++ {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					return err
				}
				in := s.Bind(tx)
				err = add(in, first)
				if try == 0 { // wait for the other
					met <- struct{}{}
					for len(met) < 2 {
						time.Sleep(time.Millisecond)
					}
				}
				if err == nil {
					err = add(in, second)
				}
				if err == nil {
					retried <- try > 0
					return tx.Commit()
				}
				_ = tx.Rollback()
				if try > 10 || !isRetry(err) {
					return err
				}
				if err := add(in, first); !isRetry(err) {
					return fmt.Errorf("the bound store goes on after ErrRetryTx: %v", err)
				}
			}
		}
		errs := make(chan error, 2)
		go func() { errs <- host("a", "b") }()
		go func() { errs <- host("b", "a") }()
		require.NoError(t, <-errs)
		require.NoError(t, <-errs)
		first, second := <-retried, <-retried
		assert.True(t, first || second, "one of the two lost the deadlock") // and the other may have lost the next one
		assert.Equal(t, []uint64{3, 3}, versions(t, s, "a", "b"))
	})
}

// Within a host's transaction the store keeps the contract; what the suite asks
// of concurrent callers and of other processes is for stores of their own.
func TestBindSuite(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		storagetest.TestStore(t, func(t *testing.T) storage.Store {
			db := d.connect(t, d.driver, d.dsn(t))
			s, _ := d.openOn(t, db, nil)
			tx, err := db.BeginTx(context.Background(), nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, tx.Rollback()) })
			return s.Bind(tx)
		})
	})
}

// Get holds what it found; Peek holds nothing.
func TestBindLocks(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			t.Skip("SQLite locks everything")
		}
		db := d.connect(t, d.driver, d.dsn(t))
		s, _ := d.openOn(t, db, nil)
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{create("got", "0"), create("peeked", "0")}}))
		tx := begin(t, db, nil)
		require.NoError(t, storage.Update(t.Context(), s.Bind(tx), func(tx *storage.Tx) error {
			if _, err := tx.Get(key("got")); err != nil {
				return err
			}
			if _, err := tx.Peek(key("peeked")); err != nil {
				return err
			}
			return tx.Create(key("new"), nil, time.Time{})
		}))
		outs, busy, err := s.CommitNoWait(t.Context(), []storage.Batch{
			{Writes: []storage.Write{write("got", 1, "x")}}, {Writes: []storage.Write{write("peeked", 1, "x")}},
		})
		require.NoError(t, err)
		assert.Equal(t, []bool{true, false}, busy)
		assert.Equal(t, []bool{false, true}, []bool{outs[0].OK, outs[1].OK})
		require.NoError(t, tx.Rollback())
		require.True(t, commit(t, s, storage.Batch{Writes: []storage.Write{write("got", 1, "x")}}))
	})
}

func TestBindRefusesADatabase(t *testing.T) {
	db, err := sql.Open("sqlite3", ":memory:")
	require.NoError(t, err)
	defer db.Close()
	s, err := sqlstore.Open(db, sqlstore.SQLite, nil)
	require.NoError(t, err)
	assert.Panics(t, func() { s.Bind(db) })
	assert.Panics(t, func() { s.Bind(nil) })
}
