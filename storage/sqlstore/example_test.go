package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/sqlstore"
)

// The host opens the database with a driver of its choice.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://localhost/app")
	if err != nil {
		return
	}
	store, err := sqlstore.Open(db, sqlstore.PostgreSQL, &sqlstore.Options{Prefix: "countersign_"})
	if err != nil {
		return
	}
	if err := store.CreateSchema(ctx); err != nil {
		return
	}
	recs, err := store.Get(ctx, []storage.Key{{Tenant: "acme", Kind: "app.note", ID: "1"}})
	fmt.Println(recs, err)
}

// The host writes to its own tables and to the store in one transaction, and
// starts again when the database asks for it.
func ExampleStore_Bind() {
	place := func(ctx context.Context, db *sql.DB, store *sqlstore.Store) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ('17')"); err != nil {
			return err
		}
		err = storage.Update(ctx, store.Bind(tx), func(t *storage.Tx) error {
			return t.Put(storage.Key{Tenant: "acme", Kind: "app.order", ID: "17"}, []byte(`{"v":1}`), t.Now(nil))
		})
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	_ = func(ctx context.Context, db *sql.DB, store *sqlstore.Store) (err error) {
		for range 3 {
			if err = place(ctx, db, store); !errors.Is(err, storage.ErrRetryTx) {
				break
			}
		}
		return err
	}
}

// A migration tool of the host runs the statements itself.
func ExampleStore_Statements() {
	store, err := sqlstore.Open(new(sql.DB), sqlstore.SQLite, nil)
	if err != nil {
		return
	}
	fmt.Println(store.Statements()[0])
	// Output: CREATE TABLE IF NOT EXISTS "meta" (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
}
