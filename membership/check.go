package membership

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
)

// Reasons why something is free, as they stand on lines of a hold.
const (
	FreeUnmetered = "unmetered" // no catalogue
	FreeMember    = "member"    // an active membership grants it (H38)
	FreeSeat      = "seat"      // a seat in an active team grants it
	FreeTeam      = "team"      // approvals of a team (H39)
	FreeRecipient = "recipient" // signing what was sent costs nothing (H47)
	FreeExport    = "export"    // so does downloading it (H49)
	FreePrice     = "price"     // its rate is 0 at the time (H51)
	FreeOpen      = "open"      // switched on for everybody by [Config]
)

// A CheckRequest asks whether an account may do something, and at what cost.
type CheckRequest struct {
	Tenant  string
	Account quota.AccountID // who acts and, if it costs, pays
	Feature Feature
	Slots   int    // signers, or pieces; 0 is 1
	Client  string // app, mini-program, web: recorded, never a difference (H10)
	// Team, if set, is the account in whose seat Account acts.
	Team quota.AccountID
}

// A Decision says what something costs: nothing, with a reason, or units.
type Decision struct {
	// Free is why it is free; empty: it is charged.
	Free string `json:"free,omitempty"`
	// Kind, Unit and Units are the charge per slot, for lines of quota.Reserve.
	// Kind is set when free, too.
	Kind  quota.ChargeKind `json:"kind"`
	Unit  quota.Unit       `json:"unit,omitempty"`
	Units quota.Units      `json:"units,omitempty"`
	// Total is Units times the slots asked for.
	Total quota.Units `json:"total,omitempty"`
	// Account pays.
	Account quota.AccountID `json:"account"`
	// Item is the membership that makes it free.
	Item ItemRef   `json:"item,omitzero"`
	At   time.Time `json:"at"` // the instant that was judged
}

// Line returns a line of quota.Reserve for a slot under this decision.
func (d Decision) Line(slot quota.SlotID, channel quota.Channel) quota.LineRequest {
	return quota.LineRequest{Slot: slot, Kind: d.Kind, Channel: channel, Free: d.Free}
}

// Check answers what [Service.CheckTx] would decide now, and records nothing. It
// fails as that does.
func (s *Service) Check(ctx context.Context, req CheckRequest) (Decision, error) {
	return view(ctx, s, req, func(ctx context.Context, tx *storage.Tx, req CheckRequest) (Decision, error) {
		return s.observe(s.decide(ctx, tx, req, false))
	})
}

// CheckTx decides within the commit of what it decides about: a send is judged,
// held and stored together, so a membership that ends between a quote and a
// send is charged for. The first free use of a term sets its FirstUse; the first
// use after a new version of an agreement is recorded as its acceptance (H03).
//
//	ordinary send, active member or seat      free
//	ordinary send, anyone else                charged
//	real-name send, anyone                    charged
//	approval, active team                     free
//	approval, anyone else                     denied, unless Config.ApprovalsForAll
//	identity check, report                    charged, free while its rate is 0
//	signing as recipient, export              free, for anyone
//	signing as payer, member or not           charged
//	anything, no catalogue                    free
//
// It fails with [DeniedError] when an agreement is not accepted or the account
// is suspended or terminated, but never for signing as recipient and for export
// (D22), and with [ErrRequest]. Whether there are units enough quota.Reserve says.
func (s *Service) CheckTx(ctx context.Context, tx *storage.Tx, req CheckRequest) (Decision, error) {
	return s.observe(s.decide(ctx, tx, req, true))
}

// observe tells the observer of a decision. One that is run again, since its
// commit lost a race, counts again.
func (s *Service) observe(d Decision, err error) (Decision, error) {
	if s.cfg.Observer == nil {
		return d, err
	}
	m := storage.Measure{Name: storage.MeasureDecision, N: 1, Labels: []storage.Label{{Key: "decision", Value: "charged"}}}
	var denied *DeniedError
	switch {
	case errors.As(err, &denied):
		m.Labels = []storage.Label{{Key: "decision", Value: "denied"}, {Key: "reason", Value: string(denied.Reason)}}
	case err != nil:
		return d, err
	case d.Free != "":
		m.Labels = []storage.Label{{Key: "decision", Value: "free"}, {Key: "reason", Value: d.Free}}
	}
	s.cfg.Observer.Observe(m)
	return d, err
}

// kinds maps features to what they are charged as.
var kinds = map[Feature]quota.ChargeKind{
	FeatureOrdinary:       quota.KindOrdinary,
	FeatureRealNamePerson: quota.KindRealNamePerson,
	FeatureRealNameOrg:    quota.KindRealNameOrg,
	FeatureApproval:       "approval",
	FeaturePersonCheck:    quota.KindPersonCheck,
	FeatureOrgCheck:       quota.KindOrgCheck,
	FeatureReport:         quota.KindReport,
	FeatureSubmit:         "submit",
	FeatureExport:         "export",
	FeaturePayOrdinary:    quota.KindOrdinary,
	FeaturePayPerson:      quota.KindRealNamePerson,
	FeaturePayOrg:         quota.KindRealNameOrg,
}

func (s *Service) decide(ctx context.Context, tx *storage.Tx, req CheckRequest, record bool) (Decision, error) {
	if err := checkIDs(req.Tenant, string(req.Account)); err != nil {
		return Decision{}, err
	}
	kind, ok := kinds[req.Feature]
	if !ok {
		return Decision{}, badRequest("feature", "unknown")
	}
	if req.Slots < 0 {
		return Decision{}, badRequest("slots", "negative")
	}
	now := tx.Now(s.cfg.Now)
	free := func(why string) Decision { return Decision{Free: why, Kind: kind, Account: req.Account, At: now} }
	switch {
	case s.cfg.Catalogue == nil:
		return free(FreeUnmetered), nil
	case req.Feature == FeatureSubmit:
		return free(FreeRecipient), nil
	case req.Feature == FeatureExport:
		return free(FreeExport), nil
	}
	m, err := load(tx, req.Tenant, req.Account)
	if err != nil {
		return Decision{}, err
	}
	other, err := linked(tx, req.Tenant, &m)
	if err != nil {
		return Decision{}, err
	}
	for _, each := range []*Member{&m, other} {
		if each == nil {
			continue
		}
		if err := each.mayAct(); err != nil {
			return Decision{}, err
		}
	}
	if err := s.accepted(ctx, tx, req, record); err != nil {
		return Decision{}, err
	}
	d, used, err := s.entitle(tx, req, &m, other, now, record)
	if err != nil {
		return Decision{}, err
	}
	if record && used {
		if err := save(tx, req.Tenant, m); err != nil {
			return Decision{}, err
		}
	}
	if d.Free != "" {
		item := d.Item
		d = free(d.Free)
		d.Item = item
		return d, nil
	}
	return s.charge(req, kind, now)
}

// mayAct refuses an account that is suspended or terminated.
func (m *Member) mayAct() error {
	switch m.Status {
	case Suspended:
		return &DeniedError{Reason: DeniedSuspended}
	case Terminated:
		return &DeniedError{Reason: DeniedTerminated}
	}
	return nil
}

// entitle looks for a term that makes the feature free, and notes its first use.
func (s *Service) entitle(tx *storage.Tx, req CheckRequest, m, other *Member, now time.Time, record bool) (d Decision, used bool, err error) {
	want := req.Feature
	switch {
	case want == FeaturePayOrdinary && s.cfg.MembersSignFree:
		want = FeatureOrdinary
	case want != FeatureOrdinary && want != FeatureApproval:
		return Decision{}, false, nil
	}
	types := []PlanType{Personal, Team}
	if want == FeatureApproval {
		types = []PlanType{Team}
	}
	why := FreeMember
	if want == FeatureApproval {
		why = FreeTeam
	}
	for _, each := range []*Member{m, other} {
		if each == nil {
			continue
		}
		for _, t := range types {
			seg := s.inForce(each, t, want, now)
			if seg == nil {
				continue
			}
			used = seg.FirstUse.IsZero()
			if used {
				seg.FirstUse = now
			}
			if used && record && each == other {
				if err := save(tx, req.Tenant, *other); err != nil {
					return Decision{}, false, err
				}
			}
			return Decision{Free: why, Item: seg.Item}, used && each == m, nil
		}
	}
	if req.Team != "" && req.Team != req.Account {
		d, err := s.seated(tx, req, want, now, record)
		if err != nil || d.Free != "" {
			return d, false, err
		}
	}
	if want == FeatureApproval {
		if s.cfg.ApprovalsForAll {
			return Decision{Free: FreeOpen}, false, nil
		}
		return Decision{}, false, &DeniedError{Reason: DeniedTeam}
	}
	return Decision{}, false, nil
}

// inForce returns the segment of a lane that grants a feature now.
func (s *Service) inForce(m *Member, t PlanType, want Feature, now time.Time) *Segment {
	if _, ok := m.ActiveAt(t, now); !ok {
		return nil
	}
	l := m.lane(t)
	seg := &l.Segments[l.at(now)]
	if grants, _ := s.cfg.Catalogue.current(*seg, now); !slices.Contains(grants, want) {
		return nil
	}
	return seg
}

// charge prices a feature that is not free by entitlement.
func (s *Service) charge(req CheckRequest, kind quota.ChargeKind, now time.Time) (Decision, error) {
	rate, ok := s.cfg.Ledger.Rate(kind, now)
	if !ok {
		return Decision{}, quota.ErrUnknownKind
	}
	if rate.Units == 0 {
		return Decision{Free: FreePrice, Kind: kind, Account: req.Account, At: now}, nil
	}
	n := quota.Units(max(req.Slots, 1))
	total := rate.Units * n
	if total/n != rate.Units {
		return Decision{}, ErrOverflow
	}
	return Decision{Kind: kind, Unit: rate.Unit, Units: rate.Units, Total: total, Account: req.Account, At: now}, nil
}

// accepted makes sure that the account accepted the agreements in force (H01).
// Who accepted an earlier version, and acts on, accepts the new one by use where
// it allows that (H03): then, if record is set, that is recorded.
func (s *Service) accepted(ctx context.Context, tx *storage.Tx, req CheckRequest, record bool) error {
	account := string(req.Account)
	for _, doc := range s.cfg.Documents {
		_, err := s.cfg.Terms.CurrentTx(tx, req.Tenant, doc)
		if errors.Is(err, privacy.ErrNotFound) {
			return &DeniedError{DeniedTerms, ErrTerms}
		}
		if err != nil {
			return err
		}
		_, err = s.cfg.Terms.AcceptedTx(tx, req.Tenant, account, doc)
		var not *privacy.NotAcceptedError
		if err == nil {
			continue
		}
		if !errors.As(err, &not) {
			return err
		}
		byUse := false
		if not.Weakest == privacy.ActUse {
			if byUse, err = s.cfg.Terms.EverAcceptedTx(tx, req.Tenant, account, doc); err != nil {
				return err
			}
		}
		switch {
		case !byUse:
			return &DeniedError{DeniedTerms, not}
		case record:
			if _, err := s.cfg.Terms.UseTx(ctx, tx, req.Tenant, account, doc, req.Client); err != nil {
				return err
			}
		}
	}
	return nil
}
