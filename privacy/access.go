package privacy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/countersign/countersign/storage"
)

// A Purpose says why clear text is read. It is a code that the notice in force
// declares to people (P12); anything else is [ErrPurpose].
type Purpose string

const (
	PurposeSigning   Purpose = "signing"   // perform the contract: show, sign, fill in
	PurposeIdentity  Purpose = "identity"  // real-name and intent verification
	PurposeDelivery  Purpose = "delivery"  // send a message to the person
	PurposeEvidence  Purpose = "evidence"  // evidence for a party to the contract
	PurposeSecurity  Purpose = "security"  // fraud, abuse, incident handling
	PurposeRights    Purpose = "rights"    // the person's own request (P17)
	PurposeAuthority Purpose = "authority" // an authority with a stated basis
	PurposeHolder    Purpose = "holder"    // the certificate holder asks (T49)
	PurposeDispute   Purpose = "dispute"   // a dispute about a signature
)

// DefaultPurposes returns the purposes above.
func DefaultPurposes() []Purpose {
	return []Purpose{PurposeSigning, PurposeIdentity, PurposeDelivery, PurposeEvidence, PurposeSecurity,
		PurposeRights, PurposeAuthority, PurposeHolder, PurposeDispute}
}

// An Accessor is who reads clear text. [Vault.As] puts one into a context.
type Accessor struct {
	Tenant   string // Required; values of another tenant are [ErrNotFound]
	Account  string // who, by pseudonymous id; or what: "sms", "esign.run"
	Role     string // in what capacity
	Approver string // the second person, whom restricted data needs
	// Integrator names the third party that reads through the tenant; it sees
	// nothing of a subject who has not consented to purpose and integrator, the
	// scope of the consent (T43). Empty: the tenant itself.
	Integrator string
}

type accessKey struct{}

type access struct {
	Accessor
	vault    *Vault
	insecure bool
}

// As returns a context in which a reads through v.
func (v *Vault) As(ctx context.Context, a Accessor) context.Context {
	return context.WithValue(ctx, accessKey{}, access{Accessor: a, vault: v})
}

// InsecureAccess returns a context in which values that no vault has revealed,
// such as those of [NewPhone], reveal themselves without a record: for tests
// of gateways and providers.
func InsecureAccess(ctx context.Context) context.Context {
	return context.WithValue(ctx, accessKey{}, access{insecure: true})
}

func accessorOf(ctx context.Context) (access, error) {
	a, ok := ctx.Value(accessKey{}).(access)
	if !ok || !a.insecure && (a.Tenant == "" || a.Account == "") {
		return access{}, ErrNoAccessor
	}
	return a, nil
}

func recordLoose(ctx context.Context, f Field, why Purpose) error {
	a, err := accessorOf(ctx)
	if err != nil {
		return err
	}
	if a.insecure {
		return nil
	}
	if err := a.vault.purpose(why); err != nil {
		return err
	}
	return storage.Update(ctx, a.vault.store, func(tx *storage.Tx) error {
		return a.vault.logAccess(tx, Subject{Tenant: a.Tenant}, a.Accessor, why, []Field{f}, "")
	})
}

func (v *Vault) purpose(why Purpose) error {
	if !slices.Contains(v.purposes, why) {
		return ErrPurpose
	}
	return nil
}

// An Access is one entry of the access log: who read what of whom, why.
type Access struct {
	At       time.Time `json:"at"`
	Subject  string    `json:"subject,omitempty"` // empty: a value that is in no vault
	Fields   []Field   `json:"fields,omitempty"`
	Why      Purpose   `json:"why"`
	Account  string    `json:"account"`
	Role     string    `json:"role,omitempty"`
	Approver string    `json:"approver,omitempty"`
	Of       string    `json:"of,omitempty"`  // what the values stood in: an envelope; of what was done, its reason
	Did      string    `json:"did,omitempty"` // what was done, where it was no read: [DidErase], [DidHold] and so on

	// Of a disclosure: to whom, on what ground, by which order (T46).
	To       string     `json:"to,omitempty"`
	Basis    LegalBasis `json:"basis,omitempty"`
	Document string     `json:"document,omitempty"`

	Prev string `json:"prev,omitempty"` // SHA-256 of the entry before
}

// accessHead is the record of one access stream; its hash binds the entries.
type accessHead struct {
	Seq  uint64    `json:"seq"`
	Hash string    `json:"hash"`
	Told time.Time `json:"told,omitzero"` // since when it is to be told; zero: nothing came since
}

var accessHeads = storage.Kind[accessHead]{Name: "privacy.access", Schema: 1, Due: func(h accessHead) time.Time { return h.Told }}

// A tenant has 16 access streams, so that readers of different people do not
// wait for one another.
func accessStream(subject string) string {
	h := sha256.Sum256([]byte(subject))
	return hex.EncodeToString(h[:1])[:1]
}

func (v *Vault) logAccess(tx *storage.Tx, s Subject, a Accessor, why Purpose, f []Field, of string) error {
	return v.logEntry(tx, s, Access{Fields: f, Why: why, Account: a.Account, Role: a.Role, Approver: a.Approver, Of: of, To: a.Integrator})
}

// integrator refuses a third party what the subject did not consent to.
func (v *Vault) integrator(tx *storage.Tx, s Subject, a Accessor, why Purpose, class Class) error {
	if a.Integrator == "" {
		return nil
	}
	c, err := v.ConsentedTx(tx, s, why, a.Integrator, class)
	if err == nil && c.Scope != a.Integrator { // a general consent names no third party
		err = ErrNoConsent
	}
	return err
}

func (v *Vault) logEntry(tx *storage.Tx, s Subject, e Access) error {
	id := accessStream(s.ID)
	head, _, err := accessHeads.Get(tx, s.Tenant, id)
	if err != nil {
		return err
	}
	e.At, e.Subject, e.Prev = tx.Now(v.now), s.ID, head.Hash
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("privacy: access log: %w", err)
	}
	seq, err := tx.Append(accessHeads.Key(s.Tenant, id), data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if head.Told.IsZero() {
		head.Told = e.At
	}
	return accessHeads.Put(tx, s.Tenant, id, accessHead{Seq: seq, Hash: hex.EncodeToString(sum[:]), Told: head.Told})
}

// Accesses lists the access log of a subject, oldest first; a Subject without
// ID lists reads of values that were in no vault. It ends with
// [storage.ErrCorrupt] where an entry was changed or removed (P07).
func (v *Vault) Accesses(ctx context.Context, s Subject) iter.Seq2[Access, error] {
	return func(yield func(Access, error) bool) {
		key := accessHeads.Key(s.Tenant, accessStream(s.ID))
		recs, err := v.store.Get(ctx, []storage.Key{key})
		if err != nil {
			yield(Access{}, err)
			return
		}
		if recs[0].Version == 0 {
			return
		}
		head, err := accessHeads.Decode(recs[0])
		if err != nil {
			yield(Access{}, err)
			return
		}
		broken := fmt.Errorf("privacy: access log: %w", storage.ErrCorrupt)
		prev, after := "", uint64(0)
		for after < head.Seq {
			page, err := v.store.Entries(ctx, key, after, int(min(head.Seq-after, 256)))
			if err != nil {
				yield(Access{}, err)
				return
			}
			for _, e := range page {
				after++
				var a Access
				dec := json.NewDecoder(bytes.NewReader(e.Data))
				dec.DisallowUnknownFields()
				if e.Seq != after || dec.Decode(&a) != nil || a.Prev != prev {
					yield(Access{}, broken)
					return
				}
				sum := sha256.Sum256(e.Data)
				prev = hex.EncodeToString(sum[:])
				if a.Subject == s.ID && !yield(a, nil) {
					return
				}
			}
			if len(page) == 0 {
				break
			}
		}
		if after != head.Seq || prev != head.Hash {
			yield(Access{}, broken)
		}
	}
}
