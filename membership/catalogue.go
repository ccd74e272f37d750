package membership

import (
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/quota"
)

// An ItemKind says what buying an item gives.
type ItemKind string

// Item kinds.
const (
	Plan    ItemKind = "plan"    // a term of membership, perhaps with lots
	Package ItemKind = "package" // lots only
)

// A PlanType is one of two memberships on timelines of their own (H07).
type PlanType string

// Plan types.
const (
	Personal PlanType = "personal" // 个人会员
	Team     PlanType = "team"     // 团队会员
)

// A Feature is something an account asks to do. [FeatureOrdinary] and
// [FeatureApproval] can be granted by a plan; the others have one answer for all.
type Feature string

// Features of the decision table, see [Service.Check].
const (
	FeatureOrdinary       Feature = "send.ordinary"        // send an ordinary file
	FeatureRealNamePerson Feature = "send.realname.person" // send a real-name file to a person
	FeatureRealNameOrg    Feature = "send.realname.org"    // send a real-name file to an organisation
	FeatureApproval       Feature = "approval"             // send an approval
	FeaturePersonCheck    Feature = "idcheck.person"       // a real-name check of a person
	FeatureOrgCheck       Feature = "idcheck.org"          // a real-name check of an organisation
	FeatureReport         Feature = "evidence.report"      // an evidence report
	FeatureSubmit         Feature = "submit"               // sign as a recipient
	FeatureExport         Feature = "export"               // download a finished document
	FeaturePayOrdinary    Feature = "pay.ordinary"         // sign an ordinary file as the payer (signer-pays)
	FeaturePayPerson      Feature = "pay.realname.person"  // the same, real-name, as a person
	FeaturePayOrg         Feature = "pay.realname.org"     // the same, real-name, for an organisation
)

// A RefundRule says when money goes back for the customer's own reasons.
type RefundRule string

// Refund rules.
const (
	Unused7Days RefundRule = ""      // within seven days, if unused (H58)
	Never       RefundRule = "never" // not at all (D17, S02, T66)
)

// A LotSpec is units that an item gives when it is paid.
type LotSpec struct {
	Unit     quota.Unit         `json:"unit"`
	Units    quota.Units        `json:"units"`
	Scope    []quota.ChargeKind `json:"scope,omitempty"`
	Priority int16              `json:"priority,omitempty"`
	Term     quota.Term         `json:"term,omitzero"` // zero: the item's
}

// An ItemRef names one version of an item.
type ItemRef struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// An Item is one immutable version of something sold. A change is a new version
// with a date; who bought keeps what was bought to the end of the term (T39).
type Item struct {
	ID      string     `json:"id"`      // at most 64 bytes
	Version int        `json:"version"` // from 1
	Kind    ItemKind   `json:"kind"`
	Type    PlanType   `json:"type,omitempty"` // of a plan
	Title   string     `json:"title"`          // shown before purchase (H60)
	Term    quota.Term `json:"term"`
	Grants  []Feature  `json:"grants,omitempty"`
	Lots    []LotSpec  `json:"lots,omitempty"`
	// Excludes is what the summary names as not included, beside the units and
	// features that follow from Grants and Lots (H08).
	Excludes []string `json:"excludes,omitempty"`
	// Seats bounds the seats of a team; nil is no bound, 0 no seats.
	Seats       *int      `json:"seats,omitempty"`
	AnnouncedAt time.Time `json:"announced_at,omitzero"` // for the host's notices (D18)
	From        time.Time `json:"from,omitzero"`         // sold from, half-open
	Until       time.Time `json:"until,omitzero"`        // zero: until a newer version is sold
	// ForExisting, if set, is when this version's Grants and Seats begin to hold
	// for members who bought an earlier one (T39); zero: never.
	ForExisting time.Time  `json:"for_existing,omitzero"`
	Refund      RefundRule `json:"refund,omitempty"`
}

// Ref names the item.
func (i Item) Ref() ItemRef { return ItemRef{i.ID, i.Version} }

func (i Item) grants(f Feature) bool { return slices.Contains(i.Grants, f) }

// A Price is what an item costs, in one sales channel or for one account.
type Price struct {
	Item      ItemRef         `json:"item"`              // Version 0: every version
	Channel   string          `json:"channel,omitempty"` // a device or shop (H63); empty: all others
	Account   quota.AccountID `json:"account,omitempty"` // a contract with one customer (H61)
	Money     Money           `json:"money"`             // 0 is a price
	TaxBps    int32           `json:"tax_bps"`           // 600 is 6 % (T19)
	Inclusive bool            `json:"inclusive"`         // the tax is in the price
	From      time.Time       `json:"from,omitzero"`
	Until     time.Time       `json:"until,omitzero"` // half-open; zero: open
}

// gross is what is to be paid: the tax included, or added.
func (p Price) gross() (Money, error) {
	if p.Inclusive {
		return p.Money, nil
	}
	t, err := tax(p.Money, p.TaxBps, false)
	if err != nil {
		return Money{}, err
	}
	sum := Money{Amount: p.Money.Amount + t.Amount, Currency: p.Money.Currency}
	if sum.Amount < 0 {
		return Money{}, fmt.Errorf("%w: price", ErrOverflow)
	}
	return sum, nil
}

// A Catalogue is what a deployment sells, as data. A version that was sold never
// changes: that is checked at every purchase.
type Catalogue struct {
	Items  []Item
	Prices []Price
}

// within reports whether t lies in the half-open window; zero ends are open.
func within(t, from, until time.Time) bool {
	return !t.Before(from) && (until.IsZero() || t.Before(until))
}

// item returns the version of an item that is sold at an instant: the newest.
func (c *Catalogue) item(id string, at time.Time) (Item, bool) {
	var best Item
	for _, i := range c.Items {
		if i.ID == id && i.Version > best.Version && within(at, i.From, i.Until) {
			best = i
		}
	}
	return best, best.Version > 0
}

// price returns what an item costs: by contract, else in the sales channel,
// else by default (H61, H63). Of several the one that began last counts, of those
// that began together the first listed.
func (c *Catalogue) price(item ItemRef, channel string, account quota.AccountID, at time.Time) (Price, bool) {
	var best Price
	rank := 0
	for _, p := range c.Prices {
		if p.Item.ID != item.ID || p.Item.Version != 0 && p.Item.Version != item.Version || !within(at, p.From, p.Until) {
			continue
		}
		r := 1
		switch {
		case p.Account != "":
			if p.Account != account || p.Channel != "" && p.Channel != channel {
				continue
			}
			r = 3
		case p.Channel != "":
			if p.Channel != channel {
				continue
			}
			r = 2
		}
		if r > rank || r == rank && p.From.After(best.From) {
			best, rank = p, r
		}
	}
	return best, rank > 0
}

// current returns the grants and seats that hold at an instant for who bought a
// version: its own, unless a later one is in force for existing members.
func (c *Catalogue) current(s Segment, at time.Time) ([]Feature, *int) {
	grants, seats, version := s.Grants, s.Seats, s.Item.Version
	for _, i := range c.Items {
		if i.ID == s.Item.ID && i.Version > version && !i.ForExisting.IsZero() && !at.Before(i.ForExisting) {
			grants, seats, version = i.Grants, i.Seats, i.Version
		}
	}
	return grants, seats
}

func (c *Catalogue) check() error {
	seen := make(map[ItemRef]bool)
	for _, i := range c.Items {
		if err := i.check(); err != nil {
			return err
		}
		if seen[i.Ref()] {
			return badRequest("catalogue", "a version is there twice")
		}
		seen[i.Ref()] = true
	}
	for n, p := range c.Prices {
		for _, other := range c.Prices[:n] {
			if p.Item == other.Item && p.Channel == other.Channel && p.Account == other.Account && p.From.Equal(other.From) {
				return badRequest("catalogue", "a price is there twice")
			}
		}
		switch {
		case p.Item.ID == "", p.Money.Currency == "":
			return badRequest("catalogue", "a price needs an item and a currency")
		case p.Money.Amount < 0, p.TaxBps < 0, p.TaxBps > bps:
			return badRequest("catalogue", "a price or tax rate is out of range")
		case !p.Until.IsZero() && !p.From.Before(p.Until):
			return badRequest("catalogue", "a price ends before it begins")
		}
	}
	return nil
}

// maxPlan bounds the term of an item, so that the time left of a few of them is a
// duration.
const maxPlan = 100 * 366 * 24 * time.Hour

func (i Item) check() error {
	switch {
	case checkID("item", i.ID) != nil:
		return checkID("item", i.ID)
	case i.Version < 1:
		return badRequest("catalogue", "versions count from 1")
	case i.Title == "":
		return badRequest("catalogue", "an item needs a title")
	case i.Term.IsZero():
		return badRequest("catalogue", "an item needs a term (H11)")
	case i.Kind == Plan && i.Type != Personal && i.Type != Team:
		return badRequest("catalogue", "a plan is personal or team")
	case i.Kind == Package && (i.Type != "" || len(i.Grants) > 0 || len(i.Lots) == 0):
		return badRequest("catalogue", "a package is lots and nothing else")
	case i.Kind != Plan && i.Kind != Package:
		return badRequest("catalogue", "an item is a plan or a package")
	case i.Seats != nil && (*i.Seats < 0 || i.Type != Team):
		return badRequest("catalogue", "seats are for teams")
	case i.Refund != Unused7Days && i.Refund != Never:
		return badRequest("catalogue", "unknown refund rule")
	case !i.Until.IsZero() && !i.From.Before(i.Until):
		return badRequest("catalogue", "an item ends before it begins")
	}
	for _, f := range i.Grants {
		if f != FeatureOrdinary && f != FeatureApproval {
			return badRequest("catalogue", "a plan grants ordinary files or approvals")
		}
	}
	for _, l := range i.Lots {
		if l.Unit == "" || l.Units <= 0 {
			return badRequest("catalogue", "a lot needs a unit and units")
		}
	}
	// The length must be one that the calendar knows.
	start := time.Unix(0, 0)
	if end, _, err := i.Term.After(start, 0); err != nil || end.Sub(start) > maxPlan {
		return badRequest("catalogue", "a term is out of range")
	}
	return nil
}

// copyCatalogue keeps a host's later writes out of the service.
func copyCatalogue(c *Catalogue) *Catalogue {
	if c == nil {
		return nil
	}
	out := &Catalogue{Items: slices.Clone(c.Items), Prices: slices.Clone(c.Prices)}
	for k := range out.Items {
		i := &out.Items[k]
		i.Grants, i.Excludes, i.Lots = slices.Clone(i.Grants), slices.Clone(i.Excludes), slices.Clone(i.Lots)
		if i.Seats != nil {
			n := *i.Seats
			i.Seats = &n
		}
	}
	return out
}
