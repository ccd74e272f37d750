package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/countersign/countersign/storage"
)

var (
	// ErrSchema says that the tables are missing or of another release:
	// [Store.CreateSchema] or [Store.Migrate] has to run.
	ErrSchema = errors.New("sqlstore: schema")
	// ErrSettings says that settings of the database may lose or change what is
	// stored. Options.Volatile accepts the loss.
	ErrSettings = errors.New("sqlstore: unsafe settings")
)

// A DriverError is a failure of the database. Its text has the code of the
// driver's error and none of its words, which may quote values; there is no way
// to the driver's own error but for those of connections.
type DriverError struct {
	Op   string // what the store did
	Code string // SQLSTATE or the driver's code; empty if it has none
	// Type is the Go type of the driver's error.
	Type string

	class class
	cause error // of the standard library, harmless
}

// Error implements error.
func (e *DriverError) Error() string {
	switch {
	case e.cause != nil:
		return "sqlstore: " + e.Op + ": " + e.cause.Error()
	case e.Code != "":
		return "sqlstore: " + e.Op + ": " + e.Code
	}
	return "sqlstore: " + e.Op + ": " + e.Type
}

// Unwrap returns the error of a connection, if that is what it was.
func (e *DriverError) Unwrap() error { return e.cause }

// class says what may be done about an error.
type class int

const (
	classOther  class = iota
	classRetry        // the transaction lost; another may win
	classLocked       // waited too long for somebody else's locks
)

// constraintFailed is the code of SQLite's error for a row that is there.
const constraintFailed = "UNIQUE constraint failed"

var (
	mysqlCode  = regexp.MustCompile(`^Error (\d{4})(?: \((\w{5})\))?:`)
	sqliteBusy = []string{"database is locked", "database table is locked", "SQLITE_BUSY", "SQLITE_LOCKED", "database schema is locked"}
	// sqliteTexts are what SQLite says without quoting anything.
	sqliteTexts = []string{"disk I/O error", "database or disk is full", "attempt to write a readonly database", "database disk image is malformed",
		"unable to open database file", "interrupted", constraintFailed, "NOT NULL constraint failed", "no such table"}
)

// code is how the driver names an error.
func code(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return "SQLSTATE " + state.SQLState()
	}
	text := err.Error()
	if m := mysqlCode.FindStringSubmatch(text); m != nil {
		return "error " + m[1]
	}
	for _, known := range sqliteBusy {
		if strings.Contains(text, known) {
			return "SQLITE_BUSY"
		}
	}
	for _, known := range sqliteTexts {
		if strings.Contains(text, known) {
			return known
		}
	}
	return ""
}

func (s *Store) classify(err error) class {
	var own *DriverError
	if errors.As(err, &own) {
		return own.class
	}
	if s.opts.Retryable != nil {
		if s.opts.Retryable(err) {
			return classRetry
		}
		return classOther
	}
	switch code(err) {
	case "SQLSTATE 40001", "SQLSTATE 40P01", "error 1213", "SQLITE_BUSY":
		return classRetry
	case "SQLSTATE 55P03", "error 1205":
		return classLocked
	}
	if errors.Is(err, driver.ErrBadConn) {
		return classRetry
	}
	return classOther
}

// ended is ctx.Err(), but heeds the clock: a connection's timer may be faster
// than the context's.
func ended(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// fail is the error of a call: one that stored nothing, unless err says that
// nobody knows.
func (s *Store) fail(ctx context.Context, op string, err error) error {
	var own *DriverError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrUnknown), errors.As(err, &own), errors.Is(err, storage.ErrCorrupt), errors.Is(err, storage.ErrBatch),
		errors.Is(err, ErrSchema), errors.Is(err, ErrSettings), errors.Is(err, storage.ErrContended):
		return err
	case ended(ctx) != nil: // drivers have their own words for it
		return fmt.Errorf("sqlstore: %s: %w", op, ended(ctx))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("sqlstore: %s: %w", op, err)
	case strings.Contains(err.Error(), "sql: database is closed"):
		return fmt.Errorf("sqlstore: %s: %w", op, storage.ErrClosed)
	}
	e := &DriverError{Op: op, Code: code(err), Type: fmt.Sprintf("%T", err), class: s.classify(err)}
	var network net.Error
	switch {
	case e.Code != "":
	case errors.As(err, &network):
		e.cause = network
	default:
		for _, known := range []error{driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, sql.ErrNoRows, io.ErrUnexpectedEOF, io.EOF} {
			if errors.Is(err, known) {
				e.cause = known
				break
			}
		}
	}
	return e
}
