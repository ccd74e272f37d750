package esign

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// A meter charges reports to the ledger of units (T52): the [evidence.Meter] of
// a service whose Evidence.Meter names no other.
type meter struct{ s *Service }

var _ evidence.Meter = meter{}

const reportSlot quota.SlotID = "report"

func reportHold(application string) quota.HoldID {
	return quota.HoldID(storage.JoinID("report", application))
}

// Reserve implements [evidence.Meter], at what a report costs now.
func (m meter) Reserve(ctx context.Context, tx *storage.Tx, tenant, account, application string) error {
	d, err := m.s.membership.CheckTx(ctx, tx, membership.CheckRequest{Tenant: tenant, Account: quota.AccountID(account),
		Feature: membership.FeatureReport})
	if errors.Is(err, privacy.ErrNotAccepted) || errors.Is(err, membership.ErrTerms) {
		return errors.Join(ErrTermsNotAccepted, err)
	}
	if err != nil {
		return err
	}
	_, err = m.s.quota.ReserveTx(ctx, tx, quota.ReserveRequest{Tenant: tenant, ID: reportHold(application), Account: d.Account,
		Ref: "report", Lines: []quota.LineRequest{d.Line(reportSlot, "")}, Actor: account})
	if errors.Is(err, quota.ErrInsufficient) {
		return errors.Join(evidence.ErrUnpaid, err)
	}
	return err
}

// Capture implements [evidence.Meter].
func (m meter) Capture(ctx context.Context, tx *storage.Tx, tenant, account, application string) error {
	_, err := m.s.quota.CaptureTx(ctx, tx, quota.CaptureRequest{Tenant: tenant, ID: storage.JoinID("report", application, "end"),
		Hold: reportHold(application), Slots: []quota.SlotID{reportSlot}, Actor: account})
	return err
}

// Release implements [evidence.Meter]: a report that is not issued costs nothing.
func (m meter) Release(ctx context.Context, tx *storage.Tx, tenant, account, application string) error {
	_, err := m.s.quota.ReleaseTx(ctx, tx, quota.ReleaseRequest{Tenant: tenant, ID: storage.JoinID("report", application, "end"),
		Hold: reportHold(application), Cause: quota.ProviderFault, Actor: account})
	return err
}

// A ReportRequest applies for a report on an envelope (出证, T52).
type ReportRequest struct {
	ID       string
	Envelope string
	Kind     evidence.ReportKind // zero: evidence.SigningReport
	// Authority lets somebody who is no party apply. The host vouches for it: it
	// must never come from the request of whom it concerns.
	Authority *Authority
}

// An Authority is the ground on which somebody who is no party is answered (T49).
type Authority struct {
	Basis    privacy.LegalBasis // law, court or authority
	Document string             // SHA-256 of the order, 64 lower-case hexadecimal digits
	Approver string             // the second person who agreed
}

// reportRecord is the bundle that an issued report pins.
type reportRecord struct {
	Envelope string           `json:"envelope"`
	Account  string           `json:"account"`
	Segments storage.Segments `json:"segments"`
}

var reports = storage.Kind[reportRecord]{Name: "esign.report", Schema: 1}

// ApplyReport applies for a report and takes the application as far as it goes:
// a unit of the applicant's account is held when it is accepted, used in the
// commit that issues it, and back if it is refused. It works outside between its
// commits and has no Tx form; repeated under its id it goes on where a crash
// stopped it, and costs nothing more. Whoever applies under another id gets, and
// pays for, another report.
//
// A refusal is an answer: Stage is [evidence.Refused] and Why says why, as for
// an envelope that ended otherwise than signed or closed, without units, or where
// the evidence contradicts itself, is damaged or larger than a bundle can be. It
// fails with [ErrNotFound] for who is no party, and with [*StateError] before the
// envelope ended.
//
// Any other failure, such as of a store, leaves the application where it is with
// its unit held, until it is repeated. A host that will not, as a document is lost
// for good, lets it go by evidence.Log.Advance to Refused.
func (s *Service) ApplyReport(ctx context.Context, a Actor, r ReportRequest) (evidence.Application, error) {
	if err := a.check(); err != nil {
		return evidence.Application{}, err
	}
	if err := checkID("id", r.ID); err != nil {
		return evidence.Application{}, err
	}
	r.Kind = or(r.Kind, evidence.SigningReport)
	env, err := s.reported(ctx, a, r)
	if err != nil {
		return evidence.Application{}, err
	}
	if !env.State.Terminal() {
		return evidence.Application{}, &StateError{State: env.State}
	}
	apply := evidence.Application{Tenant: a.Tenant, ID: r.ID, Env: env.ID, Kind: r.Kind, Account: a.Account}
	if r.Authority != nil {
		apply.Basis = string(r.Authority.Basis)
	}
	app, err := s.evidence.Apply(ctx, apply)
	if errors.Is(err, storage.ErrIntentMismatch) {
		return app, errors.Join(ErrIntentMismatch, err)
	}
	for err == nil {
		var next evidence.Step
		switch app.Stage {
		case evidence.Applied:
			next = evidence.Step{To: evidence.Accepted}
			if env.State != StateCompleted && env.State != StateClosed && r.Kind != evidence.VerificationOnly {
				next = evidence.Step{To: evidence.Refused, Why: evidence.ProcessNotConforming}
			}
		case evidence.Accepted:
			app, err = s.extractReport(ctx, a, r, &env, app)
			continue
		case evidence.Extracted:
			next, err = s.verifyReport(ctx, app)
		case evidence.Verified:
			next = evidence.Step{To: evidence.Issued, Bundle: app.Bundle}
		default:
			return app, nil
		}
		if err == nil {
			next.Actor = reporter
			app, err = s.evidence.Advance(ctx, a.Tenant, app.ID, next)
		}
	}
	return evidence.Application{}, err
}

var reporter = evidence.Actor{ID: "system", Role: string(WhoSystem)}

// reported is the envelope as the applicant may see it.
func (s *Service) reported(ctx context.Context, a Actor, r ReportRequest) (Envelope, error) {
	if r.Authority == nil {
		return s.Get(ctx, a, r.Envelope)
	}
	switch g := *r.Authority; {
	case g.Basis != privacy.BasisLaw && g.Basis != privacy.BasisCourt && g.Basis != privacy.BasisAuthority:
		return Envelope{}, badField("authority.basis", "must be law, court or authority")
	case g.Approver == "" || g.Approver == a.Account:
		return Envelope{}, badField("authority.approver", "must be a second person")
	case g.Document == "" || digestOnly(g.Document) != g.Document:
		return Envelope{}, badField("authority.document", "must be a SHA-256 in lower-case hexadecimal")
	}
	if err := checkID("envelope", r.Envelope); err != nil {
		return Envelope{}, err
	}
	env, err := s.peek(ctx, a.Tenant, r.Envelope)
	return env.asOf(s.now().UTC()), err
}

// extractReport writes the bundle that the report will rest on, and pins it.
func (s *Service) extractReport(ctx context.Context, a Actor, r ReportRequest, env *Envelope, app evidence.Application) (evidence.Application, error) {
	if err := s.anchor(ctx); err != nil {
		s.log.WarnContext(ctx, "esign: anchor before report", "error", err)
	}
	seg, info, err := s.bundleReport(ctx, a, r, env, app)
	if why := refusal(err); why != "" {
		return s.evidence.Advance(ctx, a.Tenant, app.ID, evidence.Step{To: evidence.Refused, Why: why, Actor: reporter})
	}
	if err != nil {
		return app, err
	}
	out, err := storage.UpdateValue(ctx, s.store, func(tx *storage.Tx) (evidence.Application, error) {
		got, err := s.evidence.AdvanceTx(ctx, tx, a.Tenant, app.ID, evidence.Step{To: evidence.Extracted, Bundle: seg.SHA256, Manifest: info.Manifest, Actor: reporter})
		if err != nil {
			return got, err
		}
		if err := keptBlobs.Put(tx, a.Tenant, seg.Blob, kept{Owner: env.Owner, Envelopes: 1}); err != nil {
			return got, err
		}
		return got, reports.Put(tx, a.Tenant, app.ID, reportRecord{Envelope: env.ID, Account: app.Account, Segments: storage.Segments{seg}})
	})
	if err != nil && !errors.Is(err, storage.ErrUnknown) {
		_ = s.blobs.Delete(context.WithoutCancel(ctx), seg.Blob)
	}
	return out, err
}

// refusal is why what failed cannot succeed another time; empty where it can.
func refusal(err error) evidence.Refusal {
	switch {
	case errors.Is(err, privacy.ErrErased):
		return evidence.Erased
	case errors.Is(err, evidence.ErrTooLarge):
		return evidence.TooLarge
	case errors.Is(err, storage.ErrNewer):
		return "" // another process reads it
	case errors.Is(err, evidence.ErrTampered), errors.Is(err, evidence.ErrLoss), errors.Is(err, evidence.ErrDocument),
		errors.Is(err, evidence.ErrUnreadable), errors.Is(err, storage.ErrCorrupt):
		return evidence.ResultNotConforming
	}
	return ""
}

// bundleReport writes the bundle as a blob that nothing names yet.
func (s *Service) bundleReport(ctx context.Context, a Actor, r ReportRequest, env *Envelope, app evidence.Application) (storage.Segment, evidence.BundleInfo, error) {
	var info evidence.BundleInfo
	o := &evidence.ExportOptions{DigestsOnly: env.State != StateCompleted && env.State != StateClosed, Why: privacy.PurposeEvidence}
	o.Report = &evidence.ReportOptions{Verify: s.verifyOptions(ctx), Number: app.ID, Kind: app.Kind}
	who := privacy.Accessor{Tenant: a.Tenant, Account: a.Account, Role: "report"}
	o.Disclose = env.disclose(a)
	if g := r.Authority; g != nil {
		who.Approver, o.Why = g.Approver, privacy.PurposeAuthority
		o.Disclose = env.disclose(Actor{Account: env.Owner.Account, Org: env.Owner.Org})
	}
	ctx = s.vault.As(ctx, who)
	closers, err := s.bundleDocuments(ctx, a, r.Authority != nil, env, o)
	defer closers()
	if err != nil {
		return storage.Segment{}, info, err
	}
	if r.Authority != nil {
		if err := s.discloseAll(ctx, env, *r.Authority, app); err != nil {
			return storage.Segment{}, info, err
		}
	}
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() { // ends when the blob store has read to the end, or gave up
		var err error
		info, err = s.evidence.Export(ctx, a.Tenant, env.ID, pw, o)
		_ = pw.CloseWithError(err)
		wrote <- err
	}()
	seg, _, err := s.write(ctx, a.Tenant, pr)
	_ = pr.CloseWithError(errors.New("esign: report: stopped"))
	if werr := <-wrote; err == nil {
		err = werr
	}
	return seg, info, err
}

// discloseAll puts what an authority gets on the access log of everybody it
// concerns (T46, P15).
func (s *Service) discloseAll(ctx context.Context, env *Envelope, g Authority, app evidence.Application) error {
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		seen := map[string]bool{}
		for _, r := range env.Recipients {
			who := r.Party.Account
			if who == "" || seen[who] {
				continue
			}
			seen[who] = true
			err := s.vault.DiscloseTx(ctx, tx, privacy.Subject{Tenant: env.Tenant, ID: who}, privacy.Disclosing{Recipient: app.Account,
				Fields: []privacy.Field{privacy.FieldName, privacy.FieldPhone, privacy.FieldEmail}, Why: privacy.PurposeAuthority,
				Basis: g.Basis, Document: g.Document})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// verifyReport judges the extracted bundle as a stranger would who trusts this
// log: what contradicts itself is not attested.
func (s *Service) verifyReport(ctx context.Context, app evidence.Application) (evidence.Step, error) {
	body, _, err := s.reportBundle(ctx, app.Tenant, app.ID)
	var rep *evidence.Report
	if err == nil {
		defer body.Close()
		rep, err = evidence.Verify(body, body.Size(), s.verifyOptions(ctx))
	}
	switch why := refusal(err); {
	case why != "":
		return evidence.Step{To: evidence.Refused, Why: why}, nil
	case err != nil:
		return evidence.Step{}, err
	case rep.Verdict == evidence.Failed:
		return evidence.Step{To: evidence.Refused, Why: evidence.ResultNotConforming}, nil
	}
	return evidence.Step{To: evidence.Verified, Bundle: app.Bundle}, nil
}

// verifyOptions trust this service's own log and nobody else.
func (s *Service) verifyOptions(ctx context.Context) *evidence.VerifyOptions {
	return &evidence.VerifyOptions{Keys: s.evidence.Trust(), Document: func(_ string, r io.ReaderAt, size int64) (evidence.Verdict, error) {
		got, err := pades.Verify(ctx, r, size, nil)
		if err != nil {
			return evidence.Failed, err
		}
		if got.Verdict == pades.Failed {
			return evidence.Failed, nil
		}
		return evidence.Indeterminate, nil // whom to trust is for the reader to say
	}}
}

func (s *Service) reportBundle(ctx context.Context, tenant, id string) (storage.Blob, reportRecord, error) {
	rec, err := storage.ViewValue(ctx, s.store, func(tx *storage.Tx) (reportRecord, error) {
		r, ok, err := reports.Get(tx, tenant, id)
		if err == nil && !ok {
			err = ErrNotFound
		}
		return r, err
	})
	if err != nil {
		return nil, rec, err
	}
	b, err := storage.OpenSegments(ctx, s.blobs, rec.Segments)
	return b, rec, err
}

// WriteReport writes an issued report as a PDF, in [evidence.LangChinese] or
// [evidence.LangEnglish], for the account that applied for it. It is a view of
// the bundle that the report pins: any number of them, in either language, is
// free. It fails with [ErrNotFound], or with [ErrForbidden] for a report that was
// not issued.
func (s *Service) WriteReport(ctx context.Context, a Actor, id, lang string, w io.Writer) error {
	body, app, err := s.issued(ctx, a, id)
	if err != nil {
		return err
	}
	defer body.Close()
	return evidence.WriteReport(w, body, body.Size(), &evidence.ReportOptions{Lang: lang, Verify: s.verifyOptions(ctx), Number: app.ID, Kind: app.Kind})
}

// WriteReportBundle writes the bundle that an issued report rests on. It holds the
// report in both languages, as report.zh.pdf and report.en.pdf, which cannot name the
// digest of the file that they are in; see evidence.ReportOptions.Inside. It fails
// as [Service.WriteReport] does.
func (s *Service) WriteReportBundle(ctx context.Context, a Actor, id string, w io.Writer) error {
	body, _, err := s.issued(ctx, a, id)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, io.NewSectionReader(body, 0, body.Size()))
	return err
}

// ReportRenewal is the evidence record (RFC 4998) over the manifest of the bundle that
// an issued report rests on: with it the bundle still proves when the certificates and
// hashes of its making have ended. See evidence.Log.ManifestRecord, whose result it
// is, and evidence.VerifyOptions.Manifest. Before the background work has stamped it,
// or without a timestamp authority, it is [ErrNotFound].
func (s *Service) ReportRenewal(ctx context.Context, a Actor, id string) ([]byte, error) {
	body, _, err := s.issued(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	record, err := s.evidence.ManifestRecord(ctx, a.Tenant, id)
	if errors.Is(err, evidence.ErrNotFound) {
		return nil, ErrNotFound
	}
	return record, err
}

// issued opens the bundle of an issued report, held against what it pins.
func (s *Service) issued(ctx context.Context, a Actor, id string) (storage.Blob, evidence.Application, error) {
	if err := a.check(); err != nil {
		return nil, evidence.Application{}, err
	}
	app, err := s.evidence.Application(ctx, a.Tenant, id)
	if errors.Is(err, evidence.ErrNotFound) || err == nil && app.Account != a.Account {
		return nil, app, ErrNotFound
	}
	if err != nil {
		return nil, app, err
	}
	if app.Stage != evidence.Issued && app.Stage != evidence.Superseded {
		return nil, app, ErrForbidden
	}
	body, _, err := s.reportBundle(ctx, a.Tenant, id)
	if err != nil {
		return nil, app, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(body, 0, body.Size())); err != nil || !bytes.Equal(sum.Sum(nil), app.Bundle) {
		return nil, app, errors.Join(err, body.Close(), fmt.Errorf("esign: report bundle: %w", storage.ErrCorrupt))
	}
	return body, app, nil
}
