package sms

import (
	"slices"
	"strings"

	"github.com/countersign/countersign/storage"
)

// approved is the newest approved version of a template, and the check of its
// signature (S08, S20): refused before any unit is held (D16). A template of the
// tenant's own comes before one of the catalogue.
func (s *Service) approved(tx *storage.Tx, tenant string, k Kind, template, signature string) (Template, error) {
	best, found, err := ownTemplate(tx, tenant, template)
	if err != nil {
		return Template{}, err
	}
	if !found {
		for _, t := range s.cat.Templates {
			if t.Name != template {
				continue
			}
			found = true
			if t.State == Approved && t.Version > best.Version {
				best = t
			}
		}
	}
	switch {
	case !found:
		return Template{}, &ApprovalError{Template: template, Missing: "unknown"}
	case best.Name == "":
		return Template{}, &ApprovalError{Template: template, Missing: "state"}
	case best.Kind != k:
		return Template{}, &ApprovalError{Template: template, Missing: "kind"}
	}
	sig, err := s.signature(tx, tenant, signature)
	if err != nil {
		return Template{}, err
	}
	if !sig.heads(k) {
		return Template{}, &ApprovalError{Signature: signature, Missing: "kind"}
	}
	return best, nil
}

// CheckTemplateTx reports whether texts by a template may be sent at all, without
// queueing one: for callers that must know before they hold units (D16). The
// tenant's own templates and signatures come first; a nil tx looks into the
// catalogue alone. An empty signature is Policy.Signature. It fails with
// [*ApprovalError] or [ErrNoGateway].
func (s *Service) CheckTemplateTx(tx *storage.Tx, tenant string, k Kind, template, signature string) error {
	if signature == "" {
		signature = s.policy.Signature
	}
	t, err := s.approved(tx, tenant, k, template, signature)
	if err != nil {
		return err
	}
	_, err = s.route(tx, tenant, t, signature, Number{}, nil)
	return err
}

// CheckCodesTx refuses like [Service.ChallengeTx] a deployment in which nobody of
// the tenant could get a code: without pepper, gateway or approved template, or
// with one that lacks what a code needs to say; for signing also what is signed.
// An empty template is Policy.CodeTemplate.
func (s *Service) CheckCodesTx(tx *storage.Tx, tenant, template string, signing bool) error {
	if len(s.peppers) == 0 {
		return ErrNoPepper
	}
	if len(s.gateways) == 0 {
		return ErrNoGateway
	}
	if template == "" {
		template = s.policy.CodeTemplate
	}
	t, err := s.approved(tx, tenant, OTP, template, s.policy.Signature)
	if err != nil {
		return err
	}
	q := ChallengeRequest{Kind: OTP, Title: "x"}
	if signing {
		q.Digest = make([]byte, 32)
	}
	if err := codeWording(t, q); err != nil {
		return err
	}
	_, err = s.route(tx, tenant, t, s.policy.Signature, Number{}, nil)
	return err
}

// version is the template a queued text was accepted with, if it still may be
// sent.
func (s *Service) version(tx *storage.Tx, tenant, name string, version int) (Template, error) {
	t, found, err := ownVersion(tx, tenant, name, version)
	if err != nil {
		return Template{}, err
	}
	for i := 0; !found && i < len(s.cat.Templates); i++ {
		if s.cat.Templates[i].Name == name && s.cat.Templates[i].Version == version {
			t, found = s.cat.Templates[i], true
		}
	}
	switch {
	case !found:
		return Template{}, &ApprovalError{Template: name, Missing: "unknown"}
	case t.State != Approved:
		return Template{}, &ApprovalError{Template: name, Missing: "state"}
	}
	return t, nil
}

func (s *Service) signature(tx *storage.Tx, tenant, name string) (Signature, error) {
	sig, found, err := ownSignature(tx, tenant, name)
	if err != nil {
		return Signature{}, err
	}
	for i := 0; !found && i < len(s.cat.Signatures); i++ {
		if s.cat.Signatures[i].Name == name {
			sig, found = s.cat.Signatures[i], true
		}
	}
	switch {
	case !found:
		return Signature{}, &ApprovalError{Signature: name, Missing: "unknown"}
	case sig.State != Approved:
		return Signature{}, &ApprovalError{Signature: name, Missing: "state"}
	}
	return sig, nil
}

// route lists the gateways that may carry a text, in the order of
// configuration, without those that refused it already. A zero number is one
// not known yet.
func (s *Service) route(tx *storage.Tx, tenant string, t Template, signature string, to Number, tried []string) ([]Gateway, error) {
	sig, err := s.signature(tx, tenant, signature)
	if err != nil {
		return nil, err
	}
	region := Domestic
	if to.E164() != "" {
		region = to.Region()
	}
	if region == International && !slices.ContainsFunc(s.policy.International, func(c string) bool {
		return c != "" && strings.HasPrefix(to.E164(), "+"+c)
	}) {
		return nil, ErrNoGateway
	}
	var out []Gateway
	var missing error = ErrNoGateway
	for _, g := range s.gateways {
		if slices.Contains(tried, g.Name()) || !g.Capabilities().takes(t.Kind, region) {
			continue
		}
		if _, ok := t.at(g.Name()); !ok {
			missing = &ApprovalError{Template: t.Name, Missing: "provider"}
			continue
		}
		at, ok := sig.at(g.Name())
		if !ok {
			missing = &ApprovalError{Signature: signature, Missing: "provider"}
			continue
		}
		if !at.filed(to) {
			if !s.policy.FilingWarns {
				missing = &ApprovalError{Signature: signature, Missing: "filing"}
				continue
			}
			s.log.Warn("sms: signature not filed with the likely carrier", "gateway", g.Name())
		}
		out = append(out, g)
	}
	if len(out) == 0 {
		return nil, missing
	}
	return out, nil
}

func (c Capabilities) takes(k Kind, r Region) bool {
	kinds, regions := c.Kinds, c.Regions
	if len(kinds) == 0 {
		kinds = []Kind{OTP, Notice}
	}
	if len(regions) == 0 {
		regions = []Region{Domestic}
	}
	return slices.Contains(kinds, k) && slices.Contains(regions, r)
}
