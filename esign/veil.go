package esign

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// What people write may be personal, and the plain digest of a request, by which
// it is recognised when it comes again, could be guessed: there it stands by its
// blind index.

func (s *Service) veil(tenant, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	sum := sha256.Sum256([]byte(text))
	t, err := privacy.NewText(hex.EncodeToString(sum[:]))
	if err != nil {
		return "", err
	}
	index, err := s.vault.BlindIndex(tenant, t)
	return hex.EncodeToString(index), err
}

// veiledValue is a FieldValue as a digest covers it.
type veiledValue struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

func (s *Service) veiledValues(tenant string, list []FieldValue) ([]veiledValue, error) {
	var out []veiledValue
	for _, v := range list {
		sum, err := s.veil(tenant, v.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, veiledValue{v.Field, sum})
	}
	return out, nil
}

// veiledSign is a Sign as its digest covers it.
type veiledSign struct {
	ID        string        `json:"id"`
	Envelope  string        `json:"envelope"`
	Recipient string        `json:"recipient,omitzero"`
	Values    []veiledValue `json:"values,omitzero"`
	Reason    string        `json:"reason,omitzero"`
}

func (s *Service) veiledSign(tenant string, r Sign) (out veiledSign, err error) {
	out = veiledSign{ID: r.ID, Envelope: r.Envelope, Recipient: r.Recipient}
	if out.Reason, err = s.veil(tenant, r.Reason); err != nil {
		return veiledSign{}, err
	}
	out.Values, err = s.veiledValues(tenant, r.Values)
	return out, err
}

// veiledChallenge is a Challenge as its digest covers it.
type veiledChallenge struct {
	Challenge
	Values []veiledValue `json:"values,omitzero"`
}

func (s *Service) veiledChallenge(a Actor, c Challenge) (veiledChallenge, error) {
	if err := a.check(); err != nil {
		return veiledChallenge{}, err
	}
	values, err := s.veiledValues(a.Tenant, c.Values)
	c.Values = nil
	return veiledChallenge{c, values}, err
}

func (r veiledSign) sum() storage.Hex {
	sum := storage.Intent(r)
	return sum[:]
}

// veiledEnd is an End as its digest covers it.
func (s *Service) veiledEnd(a Actor, r End) (_ End, err error) {
	if err := a.check(); err != nil {
		return End{}, err
	}
	r.Reason, err = s.veil(a.Tenant, r.Reason)
	return r, err
}
