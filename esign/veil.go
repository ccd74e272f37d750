package esign

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

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

// veiledSign is a Sign as its digest covers it.
type veiledSign Sign

func (s *Service) veiledSign(tenant string, r Sign) (veiledSign, error) {
	var err error
	if r.Reason, err = s.veil(tenant, r.Reason); err != nil {
		return veiledSign{}, err
	}
	r.Values = slices.Clone(r.Values)
	for i := range r.Values {
		if r.Values[i].Value, err = s.veil(tenant, r.Values[i].Value); err != nil {
			return veiledSign{}, err
		}
	}
	return veiledSign(r), nil
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
