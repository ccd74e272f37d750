// Package sqlstore keeps a [storage.Store] and [storage.Blobs] in a SQL database,
// through database/sql and a driver of the host's choice: PostgreSQL and what
// speaks its protocol, MySQL and MariaDB, SQLite.
//
// # Start here
//
//	db, err := sql.Open("pgx", dsn) // the host imports the driver
//	store, err := sqlstore.Open(db, sqlstore.PostgreSQL, nil)
//	err = store.CreateSchema(ctx) // once, or by the host's own migrations
//
// and hand store to a service, or to storage.Update. To write in the same
// transaction as the host's own tables, see [Store.Bind]:
//
//	err = storage.Update(ctx, store.Bind(tx), func(t *storage.Tx) error { ... })
//
// # Vocabulary
//
// Four tables: record, entry, blob and blob_part, and meta with the version of
// the schema; names take a prefix and a schema from [Options]. Keys compare byte
// by byte (COLLATE "C", VARBINARY, BINARY). Instants are microseconds since 1970.
// A row of entry holds up to a hundred entries that one commit appended to one
// stream, if they are small: n of them, the last of which is seq. The views
// record_v and entry_v show records and single entries to people, with data that
// is JSON as text and other data as escaped bytes (PostgreSQL) or hex.
//
// # Guarantees
//
// A Commit is one transaction at READ COMMITTED: it locks the records that the
// batches expect, in the order of keys, compares versions, and inserts new
// records so that one that is there already is counted and not an error. What
// lost is an outcome; deadlocks and serialization failures are tried again.
// When the answer to a COMMIT is lost the error is [storage.ErrUnknown]. On
// PostgreSQL a commit without deletions is one statement, of one round trip, if
// the driver takes slices (pgx does).
//
// A transaction of the host that holds a record delays nobody who does not need
// it: commits skip what is locked, store the rest, and wait for it alone, one
// connection per record. SQLite has one writer; there everybody waits.
//
// Groups of several processes that compete for a record take turns holding it
// ([Store.CommitLocked]): each then runs its functions on what is there, instead
// of losing races.
//
// Errors of drivers reach the caller as [DriverError], by code, without text:
// messages of databases quote values.
//
// # What the host must do
//
// Keep settings durable; the first call refuses others ([ErrSettings]). Give
// SQLite a WAL journal and a busy timeout (_journal_mode, _busy_timeout), and its
// driver a cache of statements if it can have one (_stmt_cache_size=64); MySQL's
// driver interpolateParams=true to save round trips, and max_allowed_packet of
// at least 8 MiB. Do not let a pooler give the transactions of one connection to
// several servers. Begin SQLite's transactions IMMEDIATE before Bind, and roll
// back after any error. Call [Blobs.Sweep] now and then. Back up.
//
// # Not promised
//
// What is deleted stays on disk until the database reuses the space (VACUUM,
// OPTIMIZE TABLE), in its log, and in backups. Nothing is encrypted: see package
// privacy. On MySQL, unlike MariaDB, a commit may wait as long as its context
// for a host that is about to create the same record.
package sqlstore
