package sms

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Stream is one of the logs that an authority may ask for (S26).
type Stream string

// The streams of a tenant.
const (
	ComponentLog Stream = "component" // gateways that rest, breakers that trip
	OperatorLog  Stream = "operator"  // review, orders, unlocking, exports
	ClientLog    Stream = "client"    // calls by a reseller's credential
)

// An AuditEntry is one line of a log. Numbers in it are masked or absent.
type AuditEntry struct {
	At   time.Time `json:"at"`
	Who  string    `json:"who"`            // operator, credential or gateway
	What string    `json:"what"`           // as "order.suspend"
	On   string    `json:"on,omitempty"`   // a template, a path, an id
	Why  string    `json:"why,omitempty"`  // a reason code
	Prev string    `json:"prev,omitempty"` // SHA-256 of the entry before, hex
}

// auditHead binds a stream: its hash is that of the last entry.
type auditHead struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"`
}

var audits = storage.Kind[auditHead]{Name: "sms.audit", Schema: 1}

// audit appends to a log in the commit of what it tells.
func (s *Service) audit(tx *storage.Tx, tenant string, to Stream, e AuditEntry) error {
	head, _, err := audits.Get(tx, tenant, string(to))
	if err != nil {
		return err
	}
	e.At, e.Prev = tx.Now(s.now), head.Hash
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("sms: audit: %w", err)
	}
	seq, err := tx.Append(audits.Key(tenant, string(to)), data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	return audits.Put(tx, tenant, string(to), auditHead{Seq: seq, Hash: hex.EncodeToString(sum[:])})
}

// Audit lists a log of a tenant, oldest first. It ends with
// [storage.ErrCorrupt] where an entry was changed, removed or cut off.
func (s *Service) Audit(ctx context.Context, tenant string, of Stream) iter.Seq2[AuditEntry, error] {
	return func(yield func(AuditEntry, error) bool) {
		fail := func(err error) { yield(AuditEntry{}, fmt.Errorf("sms: audit: %w", err)) }
		if tenant == "" || tenant == storage.Deployment {
			fail(badRequest("no tenant"))
			return
		}
		key := audits.Key(tenant, string(of))
		recs, err := s.store.Get(ctx, []storage.Key{key})
		if err != nil {
			fail(err)
			return
		}
		if recs[0].Version == 0 {
			return
		}
		head, err := audits.Decode(recs[0])
		if err != nil {
			fail(err)
			return
		}
		prev, after := "", uint64(0)
		for after < head.Seq {
			entries, err := s.store.Entries(ctx, key, after, int(min(head.Seq-after, 256)))
			if err != nil {
				fail(err)
				return
			}
			if len(entries) == 0 {
				break
			}
			for _, x := range entries {
				after++
				var e AuditEntry
				dec := json.NewDecoder(bytes.NewReader(x.Data))
				dec.DisallowUnknownFields()
				if x.Seq != after || dec.Decode(&e) != nil || e.Prev != prev {
					fail(storage.ErrCorrupt)
					return
				}
				sum := sha256.Sum256(x.Data)
				prev = hex.EncodeToString(sum[:])
				if !yield(e, nil) {
					return
				}
			}
		}
		if after != head.Seq || prev != head.Hash {
			fail(storage.ErrCorrupt)
		}
	}
}

// An AuditRequest is a lawful request for a log (S26).
type AuditRequest struct {
	Tenant   string
	Stream   Stream
	By       string // who exports; required
	Approver string // a second person; required
	Basis    string // the law and the letter, as a code; required
}

// ExportAudit writes a log as JSON lines, whole and verified, after it has put
// the request on the operators' log. It fails with [ErrRequest] without basis
// or second person.
func (s *Service) ExportAudit(ctx context.Context, q AuditRequest, w io.Writer) error {
	if q.By == "" || q.Basis == "" || q.Approver == "" || q.Approver == q.By || len(q.By) > 64 || len(q.Approver) > 64 || len(q.Basis) > 128 {
		return badRequest("by, another approver and a basis")
	}
	switch q.Stream {
	case ComponentLog, OperatorLog, ClientLog:
	default:
		return badRequest("unknown log")
	}
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		return s.audit(tx, q.Tenant, OperatorLog, AuditEntry{Who: q.By, What: "audit.export", On: string(q.Stream), Why: q.Basis + " approved by " + q.Approver})
	})
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	for e, err := range s.Audit(ctx, q.Tenant, q.Stream) {
		if err != nil {
			return err
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("sms: audit: %w", err)
		}
	}
	return nil
}
