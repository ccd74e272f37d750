package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/countersign/countersign/storage"
)

// SchemaVersion is the version of the tables that this release reads and writes.
const SchemaVersion = 1

// schemaRow is the row of meta that holds the version.
const schemaRow = "schema"

// Statements returns what [Store.CreateSchema] runs, in order, for hosts that
// change their database with tools of their own.
func (s *Store) Statements() []string {
	n := s.names('"')
	if s.dialect == MySQL {
		n.quote = '`'
	}
	insert := fmt.Sprintf("INSERT INTO %s (name, value) VALUES ('%s', '%d')", n.of("meta"), schemaRow, SchemaVersion)
	if s.dialect == MySQL {
		insert = fmt.Sprintf("INSERT IGNORE INTO %s (name, value) VALUES ('%s', '%d')", n.of("meta"), schemaRow, SchemaVersion)
	} else {
		insert += " ON CONFLICT DO NOTHING"
	}
	return append(s.engine.schema(), insert)
}

// CreateSchema creates the tables, indexes and views that are missing. It may
// be repeated, and run by several processes at once; it changes no table that
// is there.
func (s *Store) CreateSchema(ctx context.Context) error {
	err := s.alone(ctx, func(q Querier) error {
		for _, statement := range s.Statements() {
			if _, err := q.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return s.fail(ctx, "create schema", err)
}

// Migrate brings the tables of an earlier release up to [SchemaVersion]. It
// returns [ErrSchema] if there are none, or if they are of a later release.
func (s *Store) Migrate(ctx context.Context) error {
	version, err := s.schemaVersion(ctx, s.db)
	switch {
	case err != nil:
		return err
	case version != SchemaVersion: // there is no earlier one yet
		return fmt.Errorf("%w: version %d, this release knows %d", ErrSchema, version, SchemaVersion)
	}
	return nil
}

// alone runs fn while no other process changes the schema.
func (s *Store) alone(ctx context.Context, fn func(Querier) error) error {
	switch s.dialect {
	case SQLite:
		return s.sqliteTx(ctx, fn)
	case MySQL: // each statement commits by itself, and is safe against others
		return fn(s.db)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// IF NOT EXISTS does not keep two sessions from creating at once.
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7310289364)"); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *Store) schemaVersion(ctx context.Context, q Querier) (int, error) {
	var value string
	err := queryRow(ctx, q, s.engine.text().meta, []any{schemaRow}, &value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, fmt.Errorf("%w: no version; CreateSchema did not run", ErrSchema)
	case err != nil:
		if c := code(err); c == "SQLSTATE 42P01" || c == "SQLSTATE 3F000" || c == "error 1146" || c == "no such table" {
			return 0, fmt.Errorf("%w: no tables; CreateSchema did not run", ErrSchema)
		}
		return 0, s.fail(ctx, "read schema version", err)
	}
	version, err := strconv.Atoi(value)
	if err != nil {
		return 0, fmt.Errorf("%w: %w: version is not a number", storage.ErrCorrupt, ErrSchema)
	}
	return version, nil
}

// ready makes sure, once, that the schema is there and the settings are safe.
func (s *Store) ready(ctx context.Context, q Querier, own bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	known := func() bool { return s.checked.Load() && (s.probed.Load() || !own) }
	if known() {
		return nil
	}
	if own { // a host's transaction may hold what another waits for here
		s.checking.Lock()
		defer s.checking.Unlock()
		if known() {
			return nil
		}
	}
	version, err := s.schemaVersion(ctx, q)
	if err != nil {
		return err
	}
	if version != SchemaVersion {
		return fmt.Errorf("%w: version %d, this release reads %d", ErrSchema, version, SchemaVersion)
	}
	volatile, err := s.engine.prepare(ctx, q, own)
	switch {
	case err != nil:
		return s.fail(ctx, "read settings", err)
	case volatile != "" && !s.opts.Volatile:
		return fmt.Errorf("%w: %s", ErrSettings, volatile)
	}
	s.checked.Store(true)
	if own {
		s.probed.Store(true)
	}
	return nil
}
