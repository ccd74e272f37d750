package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A Form returns Data of a compact form as JSON; nil for what it does not know. Of
// an entry, key is its stream. See [Dump].
type Form func(key Key, entry bool, data []byte) ([]byte, error)

// DumpOptions say what [Dump] prints beside the records.
type DumpOptions struct {
	// Prefix begins the ids; empty for all.
	Prefix string
	// Entries has the stream of each record follow it.
	Entries bool
	// Forms read what is not JSON, the first that knows it; such as quota.Form.
	Forms []Form
}

// dumpLine is a line of Dump. Data is "data" if it is JSON or a Form knows it,
// else "bytes", in hex.
type dumpLine struct {
	Tenant  string          `json:"tenant"`
	Kind    string          `json:"kind"`
	ID      string          `json:"id"`
	Entry   uint64          `json:"entry,omitzero"` // its Seq; of a record absent
	At      time.Time       `json:"at,omitzero"`    // of an entry
	Version uint64          `json:"version,omitzero"`
	Seq     uint64          `json:"seq,omitzero"`
	Due     time.Time       `json:"due,omitzero"`
	Data    json.RawMessage `json:"data,omitempty"`
	Bytes   Hex             `json:"bytes,omitempty"`
	Damage  string          `json:"damage,omitzero"` // a Form cannot read Bytes, and why
}

// Dump prints the records of a tenant and kind, as the store has them, as lines of
// JSON, for people and tools. It is no snapshot, and no backup: nothing reads it.
// nil options print the records alone. It returns the first error of the store or
// of w; damaged records are printed and said to be.
func Dump(ctx context.Context, s Store, w io.Writer, tenant, kind string, o *DumpOptions) error {
	var opts DumpOptions
	if o != nil {
		opts = *o
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for r, err := range Scan(ctx, s, tenant, kind, opts.Prefix) {
		if err != nil {
			return fmt.Errorf("storage: dump %s: %w", kind, err)
		}
		line := dumpLine{Tenant: tenant, Kind: kind, ID: r.Key.ID, Version: r.Version, Seq: r.Seq, Due: r.Due}
		line.show(opts.Forms, r.Key, false, r.Data)
		if err := out.Encode(line); err != nil {
			return fmt.Errorf("storage: dump %s: %w", kind, err)
		}
		if !opts.Entries || r.Seq == 0 {
			continue
		}
		for e, err := range Replay(ctx, s, r.Key, 0) {
			if err != nil {
				return fmt.Errorf("storage: dump %s: %w", kind, err)
			}
			line := dumpLine{Tenant: tenant, Kind: kind, ID: r.Key.ID, Entry: e.Seq, At: e.At}
			line.show(opts.Forms, r.Key, true, e.Data)
			if err := out.Encode(line); err != nil {
				return fmt.Errorf("storage: dump %s: %w", kind, err)
			}
		}
	}
	return nil
}

// show fills in the data.
func (l *dumpLine) show(forms []Form, k Key, entry bool, data []byte) {
	if len(data) == 0 {
		return
	}
	if json.Valid(data) {
		l.Data = bytes.Clone(data)
		return
	}
	for _, form := range forms {
		text, err := form(k, entry, data)
		switch {
		case err != nil:
			l.Damage = err.Error()
		case text == nil:
			continue
		case json.Valid(text):
			l.Data = text
			return
		}
		break
	}
	l.Bytes = data
}
