package quota

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/storage"
)

// portVersion is the version of exports.
const portVersion = 1

// maxPortLine bounds a line of an import, in bytes.
const maxPortLine = 2 << 20

// importEntries is how many entries an import writes in one commit.
const importEntries = 256

// portLine is a line of an export: exactly one member is set.
type portLine struct {
	Version int         `json:"countersign_quota,omitempty"` // the first line
	Lot     *lotRecord  `json:"lot,omitempty"`
	Hold    *holdRecord `json:"hold,omitempty"`
	Answer  *portAnswer `json:"answer,omitempty"`
	Alert   *portAlert  `json:"alert,omitempty"`
	Account *head       `json:"account,omitempty"` // its entries follow
	Entry   *Entry      `json:"entry,omitempty"`
	End     *portEnd    `json:"end,omitempty"` // the last line
}

// portAnswer is the kept answer of a call, so that repeated calls still answer
// the same after an import.
type portAnswer struct {
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data"`
	// Compact says that it is a settlement, which is kept in a form of its own.
	Compact bool `json:"compact,omitempty"`
}

func (a *portAnswer) stored() ([]byte, error) {
	if !a.Compact {
		return a.Data, nil
	}
	return storage.AnswerData(storage.Record{Key: storage.Key{Kind: ops.Name}, Data: a.Data}, &settlements)
}

type portAlert struct {
	ID    string `json:"id"`
	Alert Alert  `json:"alert"`
}

type portEnd struct {
	Lines int `json:"lines"` // before this one
}

// Export writes everything a tenant has in the ledger as JSON lines, to be read
// by [Ledger.Import]. It is no snapshot: export while nothing else writes.
func (l *Ledger) Export(ctx context.Context, tenant string, w io.Writer) error {
	if err := checkTenant(tenant); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	lines := 0
	put := func(line portLine) error {
		lines++
		return enc.Encode(line)
	}
	if err := put(portLine{Version: portVersion}); err != nil {
		return err
	}
	for item, err := range lots.Scan(ctx, l.cfg.Store, tenant, "") {
		if err == nil {
			err = put(portLine{Lot: &item.Value})
		}
		if err != nil {
			return err
		}
	}
	for item, err := range holds.Scan(ctx, l.cfg.Store, tenant, "") {
		if err == nil {
			err = put(portLine{Hold: &item.Value})
		}
		if err != nil {
			return err
		}
	}
	for r, err := range storage.Scan(ctx, l.cfg.Store, tenant, ops.Name, "") {
		if err == nil {
			var data []byte
			if data, err = storage.AnswerJSON(r, &settlements); err == nil {
				err = put(portLine{Answer: &portAnswer{r.Key.ID, data, r.Data[0] == storage.AnswerMark}})
			}
		}
		if err != nil {
			return err
		}
	}
	for item, err := range alerts.Scan(ctx, l.cfg.Store, tenant, "") {
		if err == nil {
			err = put(portLine{Alert: &portAlert{item.ID, item.Value}})
		}
		if err != nil {
			return err
		}
	}
	for item, err := range heads.Scan(ctx, l.cfg.Store, tenant, "") {
		if err == nil {
			err = put(portLine{Account: &item.Value})
		}
		if err != nil {
			return err
		}
		for raw, err := range storage.Replay(ctx, l.cfg.Store, heads.Key(tenant, item.ID), 0) {
			if err != nil {
				return err
			}
			e, err := decodeEntry(raw.Data)
			if err == nil {
				err = put(portLine{Entry: &e})
			}
			if err != nil {
				return err
			}
		}
	}
	if err := put(portLine{End: &portEnd{lines}}); err != nil {
		return err
	}
	return out.Flush()
}

// An ImportError says at which line an import stopped. It unwraps to its cause,
// which is [ErrRequest] for what is no export.
type ImportError struct {
	Line int
	Err  error
}

// Error implements error.
func (e *ImportError) Error() string {
	return fmt.Sprintf("quota: import stopped at line %d: %v", e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ImportError) Unwrap() error { return e.Err }

// Import reads what [Ledger.Export] wrote into a tenant that has nothing else in
// the ledger, replaying every journal, and verifies the result. It commits as it
// goes: after a failure the same import can be run again and goes on. It fails
// with [ImportError]; [ErrRequest] is malformed input or a record that is there
// with other content, storage.ErrCorrupt a journal that contradicts its account.
func (l *Ledger) Import(ctx context.Context, tenant string, r io.Reader) error {
	if err := checkTenant(tenant); err != nil {
		return err
	}
	in := importer{l: l, ctx: ctx, tenant: tenant}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxPortLine)
	n := 0
	for lines.Scan() {
		n++
		if err := in.line(n, lines.Bytes()); err != nil {
			return &ImportError{n, err}
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = badRequest("import", "a line is too long")
		}
		return &ImportError{n + 1, err}
	}
	if !in.ended {
		return &ImportError{n, badRequest("import", "ends early")}
	}
	_, err := l.Verify(ctx, tenant)
	return err
}

// importer is one import.
type importer struct {
	l      *Ledger
	ctx    context.Context // of one Import
	tenant string
	ended  bool

	account *head   // whose entries are being read
	entries []Entry // read and not written
}

func (in *importer) line(n int, data []byte) error {
	var line portLine
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&line) != nil || dec.More() {
		return badRequest("import", "a line is not of an export")
	}
	if (n == 1) != (line.Version != 0) || in.ended {
		return badRequest("import", "a line is out of place")
	}
	switch {
	case line.Entry != nil && in.account != nil:
		in.entries = append(in.entries, *line.Entry)
		if len(in.entries) < importEntries {
			return nil
		}
		return in.flush(false)
	case line.Version > portVersion:
		return badRequest("import", "written by a newer release")
	case line.Version != 0:
		return nil
	}
	if err := in.flush(true); err != nil {
		return err
	}
	switch {
	case line.Lot != nil:
		return in.put(lots.Key(in.tenant, string(line.Lot.Lot.ID)), func() ([]byte, error) { return lots.Encode(*line.Lot) })
	case line.Hold != nil:
		return in.put(holds.Key(in.tenant, string(line.Hold.ID)), func() ([]byte, error) { return holds.Encode(*line.Hold) })
	case line.Answer != nil:
		return in.put(ops.Key(in.tenant, line.Answer.ID), line.Answer.stored)
	case line.Alert != nil:
		return in.put(alerts.Key(in.tenant, line.Alert.ID), func() ([]byte, error) { return alerts.Encode(line.Alert.Alert) })
	case line.Account != nil:
		if err := checkAccount("account", line.Account.Account); err != nil {
			return err
		}
		in.account = line.Account
		return nil
	case line.End != nil:
		if line.End.Lines != n-1 {
			return badRequest("import", "lines are missing")
		}
		in.ended = true
		return nil
	}
	return badRequest("import", "a line is empty")
}

// put creates a record, or makes sure that it is there as it is.
func (in *importer) put(key storage.Key, encode func() ([]byte, error)) error {
	data, err := encode()
	if err != nil {
		return err
	}
	return storage.Update(in.ctx, in.l.cfg.Store, func(tx *storage.Tx) error {
		r, err := tx.Get(key)
		if err != nil {
			return err
		}
		switch {
		case r[0].Version == 0:
			return tx.Create(key, data, r[0].Due)
		case !bytes.Equal(r[0].Data, data):
			return badRequest("import", "a record is there with other content")
		}
		return nil
	})
}

// flush writes the entries read so far; at the end of an account it puts the
// account itself in place, once its journal leads to it.
func (in *importer) flush(end bool) error {
	if in.account == nil {
		return nil
	}
	err := storage.Update(in.ctx, in.l.cfg.Store, func(tx *storage.Tx) error { return in.book(tx, end) })
	in.entries = in.entries[:0]
	if end {
		in.account = nil
	}
	return err
}

func (in *importer) book(tx *storage.Tx, end bool) error {
	id := string(in.account.Account)
	h, _, err := heads.Get(tx, in.tenant, id)
	if err != nil {
		return err
	}
	h.Account = in.account.Account
	s := state{&journal{head: &h}}
	key := heads.Key(in.tenant, id)
	for _, e := range in.entries {
		if e.Seq <= h.Seq {
			continue // written by an import that failed later
		}
		if err := s.replay(e); err != nil {
			return err
		}
		data, err := encodeEntry(&e)
		if err != nil {
			return err
		}
		if _, err := tx.Append(key, data); err != nil {
			return err
		}
		if h.Seq%checkpointEntries == 0 {
			s.finish()
			if err := checkpoints.create(tx, in.tenant, checkpointID(h.Account, h.Seq/checkpointEntries), &h); err != nil {
				return err
			}
		}
	}
	s.finish()
	if end {
		if h.Seq != in.account.Seq {
			return badRequest("import", "entries of an account are missing")
		}
		// Usage and marks do not follow from the journal, nor which finished lots
		// still wait in the head; all else does.
		want := in.account.clone()
		(&journal{head: &want}).finish()
		h.Usage, h.Marks = want.Usage, want.Marks
		a, err := heads.Encode(h)
		if err != nil {
			return err
		}
		b, err := heads.Encode(want)
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return &CorruptError{h.Account, "the journal of an import does not lead to its account"}
		}
		h = in.account.clone()
	}
	h.quiet = in.l.cfg.NoAlerts
	return heads.Put(tx, in.tenant, id, h)
}
