package esign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/storage"
)

// signTries is how often Sign signs anew on a document that moved.
const signTries = 8

// A Prepared is a signature made outside any commit: increments stored as
// blobs, and what they were made on. It holds no key, and nothing of it counts
// until SignTx has taken it.
type Prepared struct {
	Tenant    string             `json:"tenant"`
	Envelope  string             `json:"envelope"`
	Recipient string             `json:"recipient"`
	Request   storage.Hex        `json:"request"` // stands for the Sign that it was made for
	Documents []PreparedDocument `json:"documents"`
	Cert      storage.Hex        `json:"cert"` // SHA-256 of the leaf
	NotAfter  time.Time          `json:"not_after"`
}

// A PreparedDocument is one document with the new revision.
type PreparedDocument struct {
	On  string   `json:"on"` // SHA-256 of the revision it was made on, hex
	New Document `json:"new"`
}

// PrepareSign makes a recipient's signatures on the current revision of its
// documents: it reads them, calls the key, and stores the increments. It
// commits no record. It refuses what Sign would refuse, before the key is
// called; the intent proof is looked at by SignTx alone.
//
// It fails with [*TurnError], [*NotReadyError] and the other refusals of the
// machine, with the error of the [KeySource], or [*pades.Error].
func (s *Service) PrepareSign(ctx context.Context, a Actor, r Sign) (out Prepared, err error) {
	if err := a.check(); err != nil {
		return Prepared{}, err
	}
	if utf8.RuneCountInString(r.Reason) > 200 {
		return Prepared{}, badField("reason", "is longer than 200 characters")
	}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return Prepared{}, err
	}
	request, err := s.veiledSign(a.Tenant, r)
	if err != nil {
		return Prepared{}, err
	}
	if err := s.ensureBase(ctx, a, r.Envelope); err != nil {
		return Prepared{}, err
	}
	var env Envelope
	var row Recipient
	err = storage.View(ctx, s.store, func(tx *storage.Tx) error {
		x, err := s.open(tx, a, r.Envelope)
		if err != nil {
			return err
		}
		found, err := x.asRecipient(r.Recipient)
		if err != nil {
			return err
		}
		if err := x.couldSign(found); err != nil {
			return err
		}
		env, row = x.env, *found
		return nil
	})
	if err != nil {
		return Prepared{}, err
	}
	values, err := env.values(&row, r.Values)
	if err != nil {
		return Prepared{}, err
	}
	name, err := s.nameOf(ctx, a, &row)
	if err != nil {
		return Prepared{}, err
	}
	key, chain, err := s.keys.Key(ctx, KeyRequest{Tenant: a.Tenant, Envelope: env.ID, Recipient: row.ID, Name: row.Name,
		Subject: privacy.Subject{Tenant: a.Tenant, ID: row.Party.Account}})
	if err != nil {
		return Prepared{}, fmt.Errorf("esign: key: %w", err)
	}
	if len(chain) == 0 {
		return Prepared{}, errors.New("esign: key: no certificate")
	}
	leaf := sha256.Sum256(chain[0].Raw)
	out = Prepared{Tenant: a.Tenant, Envelope: env.ID, Recipient: row.ID, Request: request.sum(), Cert: leaf[:], NotAfter: chain[0].NotAfter.UTC()}
	defer func() {
		if err != nil {
			s.drop(ctx, out)
			out = Prepared{}
		}
	}()
	for _, id := range env.documentsOf(&row) {
		d := *env.document(id)
		spec, err := env.spec(&row, &d, values[id], name, r.Reason, s.now())
		if err != nil {
			return out, err
		}
		spec.Chain = chain
		grown, err := s.sign(ctx, a.Tenant, d, spec, key)
		if err != nil {
			return out, err
		}
		out.Documents = append(out.Documents, PreparedDocument{On: d.SHA256, New: grown})
	}
	return out, nil
}

// nameOf reads the signer's name for the appearance; a row without one is shown
// by its account.
func (s *Service) nameOf(ctx context.Context, a Actor, r *Recipient) (string, error) {
	if r.Name.IsZero() {
		return r.Party.Account, nil
	}
	ctx = s.vault.As(ctx, privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: string(WhoRecipient)})
	v, err := s.vault.Reveal(ctx, r.Name, privacy.PurposeSigning)
	if err != nil {
		return "", err
	}
	n, ok := v.(privacy.Name)
	if !ok {
		return r.Party.Account, nil
	}
	return n.Reveal(ctx, privacy.PurposeSigning)
}

// spec says how a row signs one document: in its field, with its values, and
// with its name where the field is visible.
func (e *Envelope) spec(r *Recipient, d *Document, values []FieldValue, name, reason string, now time.Time) (pades.Spec, error) {
	field, place := e.signatureField(d.ID, r)
	sp := pades.Spec{Field: field, Info: pades.Info{Name: name, Reason: reason, Time: now}}
	look := func(f *Field) ([]byte, error) {
		w, h := f.Rect[2]-f.Rect[0], f.Rect[3]-f.Rect[1]
		return seal.Text(seal.TextBox{Lines: []string{name, now.In(shanghai).Format("2006-01-02 15:04")}, W: w, H: h})
	}
	if place != nil && place.Rect != [4]float64{} {
		art, err := look(place)
		if err != nil {
			return sp, err
		}
		sp.Stamp = &pades.Stamp{Art: art}
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if f.Recipient != r.ID || f.Document != d.ID || f == place || f.Form != "" {
			continue
		}
		v := pades.Value{Field: formName(r.ID, f.ID)}
		switch f.Type {
		case FieldSignature, FieldSeal:
			art, err := look(f)
			if err != nil {
				return sp, err
			}
			v.Art = art
		case FieldSignDate:
			v.Value = now.In(shanghai).Format("2006-01-02")
		default:
			k := slices.IndexFunc(values, func(g FieldValue) bool { return g.Field == f.ID })
			if k < 0 {
				continue
			}
			v.Value = values[k].Value
		}
		sp.Edit.Values = append(sp.Edit.Values, v)
	}
	return sp, nil
}

var shanghai = time.FixedZone("UTC+8", 8*3600)

// sign makes one signature and stores its increment. If the timestamp authority
// fails, the signature is made without, and finalizing adds what is missing: an
// outage elsewhere keeps nobody from signing.
func (s *Service) sign(ctx context.Context, tenant string, d Document, spec pades.Spec, key crypto.Signer) (Document, error) {
	body, err := storage.OpenSegments(ctx, s.blobs, d.Segments)
	if err != nil {
		return d, err
	}
	defer body.Close()
	spec.Profile = s.policy.Level
	res, err := pades.Sign(ctx, body, body.Size(), nil, spec, key, &pades.FinishOptions{Timestamper: s.tsa})
	if err != nil && spec.Profile != pades.ProfileBB && (errors.Is(err, pades.ErrTSAFailed) || errors.Is(err, pades.ErrTSAInvalid)) && ctx.Err() == nil {
		s.log.WarnContext(ctx, "esign: timestamp", "code", string(pades.CodeOf(err)))
		spec.Profile = pades.ProfileBB
		res, err = pades.Sign(ctx, body, body.Size(), nil, spec, key, nil)
	}
	if err != nil {
		return d, err
	}
	first := len(d.Level) == 0
	if d, err = s.extend(ctx, tenant, d, body, res.Increment); err != nil {
		return d, err
	}
	if first || spec.Profile != s.policy.Level {
		d.Level = string(spec.Profile)
	}
	return d, nil
}

// Sign signs every document of a recipient, or none: PrepareSign outside, then
// SignTx, again on the newer revision if somebody else signed meanwhile. The
// commit moves the envelope, spends the intent proof, captures the units,
// records the evidence and queues what follows. Repeated under its id it answers
// the same, whether or not the proof comes with it.
//
// It fails with [*TurnError], [*NotReadyError], [*DeadlineError], [*StateError],
// [*quota.InsufficientError] where the signer pays, or [sms.ErrProof].
func (s *Service) Sign(ctx context.Context, a Actor, r Sign) (Signed, error) {
	if done, ok, err := s.signedBefore(ctx, a, r); err != nil || ok {
		return done, err
	}
	for try := 1; ; try++ {
		p, err := s.PrepareSign(ctx, a, r)
		if err != nil {
			// A parallel call under the same id may have won meanwhile.
			if done, ok, _ := s.signedBefore(ctx, a, r); ok {
				return done, nil
			}
			return Signed{}, err
		}
		out, err := mutate(ctx, s, a, func(tx *storage.Tx) (Signed, error) { return s.SignTx(ctx, tx, a, r, p) })
		switch {
		case err == nil:
			return out, nil
		case errors.Is(err, ErrStaleRevision) && try < signTries:
			s.drop(ctx, p)
			continue
		}
		if !errors.Is(err, storage.ErrUnknown) {
			s.drop(ctx, p)
		}
		return Signed{}, err
	}
}

// drop removes increments that no record names. What fails here is swept.
func (s *Service) drop(ctx context.Context, p Prepared) {
	for _, d := range p.Documents {
		if n := len(d.New.Segments); n > 0 {
			_ = s.blobs.Delete(context.WithoutCancel(ctx), d.New.Segments[n-1].Blob)
		}
	}
}

// signedBefore answers a repeated Sign without making a signature.
func (s *Service) signedBefore(ctx context.Context, a Actor, r Sign) (out Signed, ok bool, err error) {
	if a.check() != nil || checkID("id", r.ID) != nil {
		return Signed{}, false, nil // PrepareSign and SignTx say what is wrong
	}
	if err := s.vault.Unlock(ctx, a.Tenant); err != nil {
		return Signed{}, false, err
	}
	err = storage.View(ctx, s.store, func(tx *storage.Tx) error {
		out, ok = Signed{}, false
		recs, err := tx.Get(storage.Key{Tenant: a.Tenant, Kind: answers, ID: r.ID})
		if err != nil || recs[0].Version == 0 {
			return err
		}
		ok = true
		out, err = s.SignTx(ctx, tx, a, r, Prepared{})
		return err
	})
	return out, ok, err
}

// signedAnswer is a Signed as it is kept.
type signedAnswer struct {
	versioned
	Recipient string    `json:"recipient"`
	At        time.Time `json:"at"`
}

// SignTx takes a prepared signature within a commit: either all of it counts,
// or nothing. It fails with [ErrStaleRevision] if a document moved since
// PrepareSign.
func (s *Service) SignTx(ctx context.Context, tx *storage.Tx, a Actor, r Sign, p Prepared) (Signed, error) {
	if err := a.check(); err != nil {
		return Signed{}, err
	}
	request, err := s.veiledSign(a.Tenant, r)
	if err != nil {
		return Signed{}, err
	}
	kept, err := once(tx, a, "sign", r.ID, request, func() (signedAnswer, error) {
		x, err := s.open(tx, a, r.Envelope)
		if err != nil {
			return signedAnswer{}, err
		}
		row, err := x.asRecipient(r.Recipient)
		if err != nil {
			return signedAnswer{}, err
		}
		if p.Tenant != a.Tenant || p.Envelope != r.Envelope || p.Recipient != row.ID || !bytes.Equal(p.Request, request.sum()) {
			return signedAnswer{}, badField("prepared", "was made for something else")
		}
		x.lenient = true
		id := row.ID
		if err := x.signTx(ctx, row, r, p); err != nil {
			return signedAnswer{}, err
		}
		v, err := x.close()
		return signedAnswer{v, id, tx.Now(s.now)}, err
	})
	if err != nil {
		return Signed{}, err
	}
	return Signed{Envelope: kept.envelope().seenBy(a), Recipient: kept.Recipient, At: kept.At}, nil
}

func (x *work) signTx(ctx context.Context, row *Recipient, r Sign, p Prepared) error {
	docs := make([]Document, len(p.Documents))
	for i, d := range p.Documents {
		have := x.env.document(d.New.ID)
		if have == nil || have.SHA256 != d.On {
			return ErrStaleRevision
		}
		for _, seg := range d.New.Segments {
			if !blobOf(x.env.Tenant, seg.Blob) {
				return badField("prepared", "names a document of somebody else")
			}
		}
		docs[i] = d.New
	}
	values, err := x.env.values(row, r.Values)
	if err != nil {
		return err
	}
	code, bound, proven, err := x.prove(ctx, row, values, r.Intent)
	if err != nil {
		return err
	}
	id := row.ID
	if row.State == RecipientViewed || row.State == RecipientReady {
		// The code also proves control of the phone: identity that was missing so far.
		f, err := x.facts(row, proven)
		if err != nil {
			return err
		}
		if err := x.apply(ctx, Command{Op: OpProgress, By: WhoSystem, Recipient: id, Facts: f}, note{}); err != nil {
			return err
		}
	}
	line := LineRef{}
	if x.env.SignerPays {
		line.Hold = storage.JoinID(x.env.ID, strconv.FormatUint(x.env.Version+1, 10))
	}
	tx := sha256.Sum256([]byte(code.ProviderID))
	auth := []evidence.Auth{
		{Level: string(identity.I1), Method: string(identity.PhoneCode), Provider: code.Gateway, Transaction: tx[:]},
		{Level: string(identity.W2), Method: string(identity.PhoneCode), Provider: code.Gateway, Transaction: tx[:], Cert: p.Cert, NotAfter: p.NotAfter},
	}
	confirmed, err := x.confirmed(x.env.row(id))
	if err != nil {
		return err
	}
	auth = append(auth, confirmed...)
	n := note{auth: auth, x: map[string]any{"challenge": code.Challenge, "template": code.Template, "template_version": code.Version,
		"bound_to": hex.EncodeToString(bound)}}
	if err := x.apply(ctx, Command{Op: OpSign, By: WhoRecipient, Recipient: id, Intent: true, Documents: docs, Line: line}, n); err != nil {
		return err
	}
	return x.retain(ctx, x.env.row(id).Party.Account, p.NotAfter)
}

// retain keeps the authentication data of who signed for as long as the law asks
// (T49, E-signature law §24), which is what erasing it then waits for.
func (x *work) retain(ctx context.Context, account string, notAfter time.Time) error {
	until, _ := privacy.Earliest([]privacy.Rule{privacy.RuleAuthentication}, privacy.Facts{Certificates: []time.Time{notAfter}})
	err := x.s.vault.RetainTx(ctx, x.tx, privacy.Subject{Tenant: x.env.Tenant, ID: account}, until)
	if errors.Is(err, privacy.ErrNotFound) {
		return nil // nothing is kept
	}
	return err
}

// prove spends the intent proof: bound to these documents, these values and this
// number, used once.
func (x *work) prove(ctx context.Context, r *Recipient, values map[string][]FieldValue, i Intent) (sms.CodeEvidence, []byte, []identity.Result, error) {
	if i.Method != string(identity.PhoneCode) || i.Code.Tenant != x.env.Tenant {
		return sms.CodeEvidence{}, nil, nil, &NotReadyError{Missing: []string{"intent"}}
	}
	b, err := x.binding(r, values)
	if err != nil {
		return sms.CodeEvidence{}, nil, nil, err
	}
	e, err := x.s.sms.ConsumeTx(withActor(ctx, x.a), x.tx, i.Code, b)
	if err != nil {
		return sms.CodeEvidence{}, nil, nil, err
	}
	got := holdsPhone(e.Checked)
	got.Strength, got.Provider, got.TxID, got.Bound = identity.W2, e.Gateway, e.ProviderID, identity.Binding(hex.EncodeToString(b.Digest))
	return e, b.Digest, []identity.Result{got}, nil
}
