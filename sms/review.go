package sms

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/countersign/countersign/storage"
)

// A ReviewAct moves a template or signature through its review (S08, S20).
type ReviewAct string

// The acts of a review. Approving is not the author's.
const (
	ReviewSubmit  ReviewAct = "submit"
	ReviewApprove ReviewAct = "approve"
	ReviewReject  ReviewAct = "reject"
	ReviewSuspend ReviewAct = "suspend"
	ReviewRevoke  ReviewAct = "revoke"
)

var reviews = map[Review]map[ReviewAct]Review{
	Draft:         {ReviewSubmit: PendingReview},
	PendingReview: {ReviewApprove: Approved, ReviewReject: Refused},
	Approved:      {ReviewSuspend: Suspended, ReviewRevoke: Revoked},
}

// reviewStep is the state of a wording after an act. It is pure.
func reviewStep(state Review, author string, q ReviewRequest) (Review, error) {
	to, ok := reviews[state][q.Act]
	switch {
	case !ok:
		return state, fmt.Errorf("%w: %s while %s", ErrState, q.Act, state)
	case q.Act == ReviewApprove && q.By == author:
		return state, fmt.Errorf("%w: approved by its author", ErrTemplate)
	case q.Act != ReviewSubmit && q.Act != ReviewApprove && q.Reason == "":
		return state, badRequest("no reason")
	}
	return to, nil
}

// templateRow pins an approved version by its digest: it never changes.
type templateRow struct {
	Template
	Digest storage.Hex `json:"digest,omitempty"`
}

// templateHead says which version of a tenant's template is sent.
type templateHead struct {
	Latest   int `json:"latest"`
	Approved int `json:"approved,omitempty"` // 0: none
}

var (
	templateRows  = storage.Kind[templateRow]{Name: "sms.template", Schema: 1}
	templateHeads = storage.Kind[templateHead]{Name: "sms.template.head", Schema: 1}
	signatureRows = storage.Kind[Signature]{Name: "sms.signature", Schema: 1}
)

func templateID(name string, version int) string {
	return storage.JoinID(name, fmt.Sprintf("%08d", version))
}

// digest is over all that a reviewer read.
func (t Template) digest() storage.Hex {
	b, err := json.Marshal(struct {
		Name    string
		Version int
		Kind    Kind
		Body    string
		Vars    map[string]Rule
	}{t.Name, t.Version, t.Kind, t.Body, t.Vars})
	if err != nil {
		panic("sms: template: " + err.Error()) // strings and numbers
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// ownTemplate is a tenant's own approved template. found says that it has one
// of the name, approved or not.
func ownTemplate(tx *storage.Tx, tenant, name string) (t Template, found bool, err error) {
	if tx == nil || name == "" || len(name) > 64 {
		return t, false, nil
	}
	head, version, err := templateHeads.Peek(tx, tenant, name)
	if err != nil || version == 0 {
		return t, false, err
	}
	if head.Approved == 0 {
		return t, true, nil
	}
	t, _, err = ownVersion(tx, tenant, name, head.Approved)
	return t, true, err
}

func ownVersion(tx *storage.Tx, tenant, name string, version int) (Template, bool, error) {
	if tx == nil || name == "" || len(name) > 64 {
		return Template{}, false, nil
	}
	r, v, err := templateRows.Peek(tx, tenant, templateID(name, version))
	if err != nil || v == 0 {
		return Template{}, false, err
	}
	if r.State == Approved && !slices.Equal(r.Digest, r.digest()) {
		return Template{}, false, fmt.Errorf("sms: template %s: %w", name, storage.ErrCorrupt)
	}
	return r.Template, true, nil
}

func ownSignature(tx *storage.Tx, tenant, name string) (Signature, bool, error) {
	if tx == nil || name == "" || len(name) > 64 {
		return Signature{}, false, nil
	}
	sig, v, err := signatureRows.Peek(tx, tenant, name)
	return sig, v > 0, err
}

// DraftTemplate keeps a new version of a tenant's template, as a draft. The
// version is one above the last; the same draft again changes nothing, another
// under its version is [ErrIntentMismatch]. It fails with [ErrTemplate] on what
// could never be approved.
func (s *Service) DraftTemplate(ctx context.Context, tenant string, t Template) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return s.DraftTemplateTx(ctx, tx, tenant, t) })
}

// DraftTemplateTx is [Service.DraftTemplate] within a commit.
func (s *Service) DraftTemplateTx(_ context.Context, tx *storage.Tx, tenant string, t Template) error {
	if tenant == "" || tenant == storage.Deployment {
		return badRequest("no tenant")
	}
	if t.State == "" {
		t.State = Draft
	}
	if err := t.Validate(); err != nil {
		return err
	}
	if t.State != Draft || t.Author == "" || len(t.Author) > 64 || t.Reviewer != "" || t.Reason != "" || t.Gateways != nil {
		return fmt.Errorf("%w %s: a draft has an author and nothing of a review", ErrTemplate, t.Name)
	}
	head, _, err := templateHeads.Get(tx, tenant, t.Name)
	if err != nil {
		return err
	}
	if old, ok, err := templateRows.Get(tx, tenant, templateID(t.Name, t.Version)); err != nil {
		return err
	} else if ok {
		if !slices.Equal(old.digest(), t.digest()) || old.Author != t.Author {
			return fmt.Errorf("sms: template: %w", ErrIntentMismatch)
		}
		return nil
	}
	if t.Version != head.Latest+1 {
		return fmt.Errorf("%w %s: the next version is %d", ErrTemplate, t.Name, head.Latest+1)
	}
	head.Latest = t.Version
	if err := templateHeads.Put(tx, tenant, t.Name, head); err != nil {
		return err
	}
	return templateRows.Create(tx, tenant, templateID(t.Name, t.Version), templateRow{Template: t})
}

// DraftSignature keeps a tenant's new signature, as a draft. The same again
// changes nothing; another of the name is [ErrIntentMismatch].
func (s *Service) DraftSignature(ctx context.Context, tenant string, sig Signature) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return s.DraftSignatureTx(ctx, tx, tenant, sig) })
}

// DraftSignatureTx is [Service.DraftSignature] within a commit.
func (s *Service) DraftSignatureTx(_ context.Context, tx *storage.Tx, tenant string, sig Signature) error {
	if tenant == "" || tenant == storage.Deployment {
		return badRequest("no tenant")
	}
	if sig.State == "" {
		sig.State = Draft
	}
	if err := sig.Validate(); err != nil {
		return err
	}
	if sig.State != Draft || sig.Author == "" || len(sig.Author) > 64 || sig.Reviewer != "" || sig.Reason != "" || sig.Gateways != nil {
		return fmt.Errorf("%w: signature: a draft has an author and nothing of a review", ErrTemplate)
	}
	if old, ok, err := signatureRows.Get(tx, tenant, sig.Name); err != nil {
		return err
	} else if ok {
		if old.Author != sig.Author || !slices.Equal(old.Kinds, sig.Kinds) {
			return fmt.Errorf("sms: signature: %w", ErrIntentMismatch)
		}
		return nil
	}
	return signatureRows.Create(tx, tenant, sig.Name, sig)
}

// A ReviewRequest is one act on a template's version or on a signature.
type ReviewRequest struct {
	Tenant    string
	Template  string // and Version, or else Signature
	Version   int
	Signature string
	Act       ReviewAct
	By        string // required; at most 64 bytes
	Reason    string // a code; required with reject, suspend and revoke
}

// Review moves a template or signature on. An act that was done already changes
// nothing. It fails with [ErrState] where the act is not allowed, with
// [ErrTemplate] where an author approves, and with [ErrNotFound].
//
// Once a version is approved it is the one that is sent; when that one is
// suspended or revoked none is, until another is approved (S22).
func (s *Service) Review(ctx context.Context, q ReviewRequest) (Review, error) {
	return storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (Review, error) { return s.ReviewTx(ctx, tx, q) })
}

// ReviewTx is [Service.Review] within a commit.
func (s *Service) ReviewTx(_ context.Context, tx *storage.Tx, q ReviewRequest) (Review, error) {
	if q.Tenant == "" || q.Tenant == storage.Deployment || q.By == "" || len(q.By) > 64 || len(q.Reason) > 64 || (q.Template == "") == (q.Signature == "") {
		return "", badRequest("tenant, by, and either template or signature")
	}
	if q.Signature != "" {
		sig, ok, err := signatureRows.Get(tx, q.Tenant, q.Signature)
		if err != nil || !ok {
			return "", orNotFound(err)
		}
		if sig.State == resultOf(q.Act) {
			return sig.State, nil
		}
		if sig.State, err = reviewStep(sig.State, sig.Author, q); err != nil {
			return "", err
		}
		if sig.Reason = q.Reason; q.Act == ReviewApprove {
			sig.Reviewer = q.By
		}
		if err := s.audit(tx, q.Tenant, OperatorLog, AuditEntry{Who: q.By, What: "signature." + string(q.Act), On: q.Signature, Why: q.Reason}); err != nil {
			return "", err
		}
		return sig.State, signatureRows.Put(tx, q.Tenant, q.Signature, sig)
	}
	id := templateID(q.Template, q.Version)
	t, ok, err := templateRows.Get(tx, q.Tenant, id)
	if err != nil || !ok {
		return "", orNotFound(err)
	}
	if t.State == resultOf(q.Act) {
		return t.State, nil
	}
	if t.State, err = reviewStep(t.State, t.Author, q); err != nil {
		return "", err
	}
	t.Reason = q.Reason
	head, _, err := templateHeads.Get(tx, q.Tenant, q.Template)
	if err != nil {
		return "", err
	}
	switch {
	case t.State == Approved:
		t.Reviewer, t.Digest = q.By, t.digest()
		head.Approved = max(head.Approved, q.Version)
	case head.Approved == q.Version:
		head.Approved = 0
	}
	if err := templateHeads.Put(tx, q.Tenant, q.Template, head); err != nil {
		return "", err
	}
	e := AuditEntry{Who: q.By, What: "template." + string(q.Act), On: id, Why: q.Reason}
	if err := s.audit(tx, q.Tenant, OperatorLog, e); err != nil {
		return "", err
	}
	return t.State, templateRows.Put(tx, q.Tenant, id, t)
}

// resultOf is where an act leads.
func resultOf(a ReviewAct) Review {
	for _, acts := range reviews {
		if to, ok := acts[a]; ok {
			return to
		}
	}
	return ""
}

func orNotFound(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// A ProviderState is what a provider says of a template's version or of a
// signature.
type ProviderState struct {
	Tenant      string
	Template    string // and Version and TemplateAt, or else Signature and SignatureAt
	Version     int
	TemplateAt  TemplateAt
	Signature   string
	SignatureAt SignatureAt
	Gateway     string // its name
}

// Provider records a provider's review and, for a signature, the filing with
// carriers. The latest word counts. It fails with [ErrNotFound] for what was never
// drafted, and with [ErrRequest].
func (s *Service) Provider(ctx context.Context, p ProviderState) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return s.ProviderTx(ctx, tx, p) })
}

// ProviderTx is [Service.Provider] within a commit.
func (s *Service) ProviderTx(_ context.Context, tx *storage.Tx, p ProviderState) error {
	if p.Tenant == "" || p.Tenant == storage.Deployment || p.Gateway == "" || len(p.Gateway) > 32 || (p.Template == "") == (p.Signature == "") {
		return badRequest("tenant, gateway, and either template or signature")
	}
	known := []ProviderReview{ReviewInit, ReviewPass, ReviewNotPass, ReviewCancel}
	if p.Signature != "" {
		sig, ok, err := signatureRows.Get(tx, p.Tenant, p.Signature)
		if err != nil || !ok {
			return orNotFound(err)
		}
		if !slices.Contains(known, p.SignatureAt.Review) {
			return badRequest("unknown review")
		}
		if sig.Gateways == nil {
			sig.Gateways = map[string]SignatureAt{}
		}
		sig.Gateways[p.Gateway] = p.SignatureAt
		return signatureRows.Put(tx, p.Tenant, p.Signature, sig)
	}
	t, ok, err := templateRows.Get(tx, p.Tenant, templateID(p.Template, p.Version))
	if err != nil || !ok {
		return orNotFound(err)
	}
	if !slices.Contains(known, p.TemplateAt.Review) {
		return badRequest("unknown review")
	}
	if t.Gateways == nil {
		t.Gateways = map[string]TemplateAt{}
	}
	t.Gateways[p.Gateway] = p.TemplateAt
	return templateRows.Put(tx, p.Tenant, templateID(p.Template, p.Version), t)
}
