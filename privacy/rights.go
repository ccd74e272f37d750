package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/storage"
)

// A LegalBasis says on what ground data is given to somebody (P15).
type LegalBasis string

// The bases there are.
const (
	BasisConsent   LegalBasis = "consent"
	BasisNeeded    LegalBasis = "needed"    // a third party the service cannot do without
	BasisLaw       LegalBasis = "law"       // a statute
	BasisCourt     LegalBasis = "court"     // an order
	BasisAuthority LegalBasis = "authority" // government
	BasisSafety    LegalBasis = "safety"    // safety and rights of people
	BasisTerms     LegalBasis = "terms"     // the agreement with the subject
)

func (b LegalBasis) valid() bool {
	switch b {
	case BasisConsent, BasisNeeded, BasisLaw, BasisCourt, BasisAuthority, BasisSafety, BasisTerms:
		return true
	}
	return false
}

// ErrBasis is a disclosure without a basis: it does not happen (T46).
var ErrBasis = coded.New("no_basis", "privacy: no basis for disclosure")

// A Disclosing is data of a subject on its way to somebody else.
type Disclosing struct {
	Recipient string     // to whom, by id
	Fields    []Field    // what
	Why       Purpose    // what for
	Basis     LegalBasis // on what ground
	// Document is the SHA-256 of the order or agreement, 64 lower-case hexadecimal digits. A
	// third party that the service needs gets nothing without the agreement that
	// binds it to confidentiality (P14); else it may be empty.
	Document string
	Scope    string // for BasisConsent: the consent must name it, or be for all
	Class    Class  // highest class among the fields; empty is ClassPersonal
}

// DiscloseTx puts a disclosure on the access log of its subject, in the commit
// that discloses (T46 P04 P14 P15). Without a basis, or without the consent it
// claims, it fails with [ErrBasis] or [ErrNoConsent], and nothing may be given; nor
// where it fails with [ErrNoAccessor], [ErrPurpose], [ErrInvalid], or with
// [ErrNotFound] for a subject of another tenant than the accessor's.
func (v *Vault) DiscloseTx(ctx context.Context, tx *storage.Tx, s Subject, d Disclosing) error {
	a, err := accessorOf(ctx)
	if err != nil {
		return err
	}
	switch {
	case a.insecure:
		return ErrNoAccessor
	case s.check() != nil || a.Tenant != s.Tenant:
		return ErrNotFound
	case !d.Basis.valid():
		return ErrBasis
	case !okID(d.Recipient) || len(d.Fields) == 0 || d.Document != "" && !isDigest(d.Document):
		return fmt.Errorf("%w: disclosure", ErrInvalid)
	case d.Basis == BasisNeeded && d.Document == "":
		return fmt.Errorf("%w: no agreement on confidentiality", ErrBasis)
	}
	if err := v.purpose(d.Why); err != nil {
		return err
	}
	if d.Basis == BasisConsent {
		if _, err := v.ConsentedTx(tx, s, d.Why, d.Scope, d.Class); err != nil {
			return err
		}
	}
	return v.logEntry(tx, s, Access{Fields: d.Fields, Why: d.Why, Account: a.Account, Role: a.Role, Approver: a.Approver,
		To: d.Recipient, Basis: d.Basis, Document: d.Document})
}

// A subjectExport is what a person gets on request.
type subjectExport struct {
	Tenant    string          `json:"tenant"`
	Subject   string          `json:"subject"`
	State     State           `json:"state"`
	At        time.Time       `json:"at"`
	Values    []exportedValue `json:"values"`
	Consents  []Consent       `json:"consents"`
	Accesses  []Access        `json:"accesses"`
	Envelopes []string        `json:"envelopes"` // whose events hold commitments of the subject
}

type exportedValue struct {
	Field   Field  `json:"field"`
	Version int    `json:"version"`
	Value   string `json:"value"`
	// From is who handed it in, if not the subject; At when.
	From string    `json:"from,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// ExportSubject writes all that is kept of a subject as JSON, values in the
// clear, for the person themselves (P17): the reads are on record under
// [PurposeRights] before anything is written. The receipt counts the values. It
// fails with [ErrNoAccessor], with [ErrNotFound] for an unknown subject or an
// accessor of another tenant, and as w does.
func (v *Vault) ExportSubject(ctx context.Context, s Subject, w io.Writer) (Receipt, error) {
	a, err := accessorOf(ctx)
	if err != nil {
		return Receipt{}, err
	}
	if a.insecure {
		return Receipt{}, ErrNoAccessor
	}
	if s.check() != nil || a.Tenant != s.Tenant {
		return Receipt{}, ErrNotFound
	}
	if err := v.purpose(PurposeRights); err != nil {
		return Receipt{}, err
	}
	if err := v.Unlock(ctx, s.Tenant); err != nil {
		return Receipt{}, err
	}
	out := subjectExport{Tenant: s.Tenant, Subject: s.ID, Values: []exportedValue{}, Consents: []Consent{}, Accesses: []Access{}, Envelopes: []string{}}
	refs, err := v.refs(ctx, s)
	if err != nil {
		return Receipt{}, err
	}
	err = storage.Update(ctx, v.store, func(tx *storage.Tx) error {
		out.Values, out.Consents = out.Values[:0], []Consent{}
		x, err := v.openSubject(tx, s, false)
		if err != nil {
			return err
		}
		out.State, out.At = x.State, tx.Now(v.now)
		fields := []Field{}
		for _, r := range refs {
			val, err := v.read(tx, x, r)
			if errors.Is(err, ErrNotFound) { // forgotten since it was listed
				continue
			}
			if err != nil {
				return err
			}
			row, _, err := values.Get(tx, r.Tenant, valueID(r.Subject, r.Field, r.Version))
			if err != nil {
				return err
			}
			out.Values = append(out.Values, exportedValue{r.Field, r.Version, val.clearText(), row.By, row.At})
			fields = append(fields, r.Field)
		}
		rec, _, err := consents.Get(tx, s.Tenant, s.ID)
		if err != nil {
			return err
		}
		out.Consents = append(out.Consents, rec.List...)
		return v.logEntry(tx, s, Access{Did: DidExport, Fields: fields, Why: PurposeRights, Account: a.Account, Role: a.Role, Approver: a.Approver})
	})
	if err != nil {
		return Receipt{}, err
	}
	for e, err := range v.Accesses(ctx, s) {
		if err != nil {
			return Receipt{}, err
		}
		out.Accesses = append(out.Accesses, e)
	}
	for env, err := range v.Envelopes(ctx, s) {
		if err != nil {
			return Receipt{}, err
		}
		out.Envelopes = append(out.Envelopes, env)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return Receipt{}, fmt.Errorf("privacy: export: %w", err)
	}
	return Receipt{Tenant: s.Tenant, Subject: s.ID, State: out.State, At: out.At, Rows: len(out.Values), Copies: true}, nil
}

// refs lists every version of every value of a subject.
func (v *Vault) refs(ctx context.Context, s Subject) ([]Ref, error) {
	var out []Ref
	for item, err := range values.Scan(ctx, v.store, s.Tenant, storage.JoinPrefix(s.ID)) {
		if err != nil {
			return nil, err
		}
		r, err := parseValueID(s.Tenant, item.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
