package pades

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
)

// Flags of a seed value dictionary: which entries are constraints rather than
// preferences (ISO 32000-2 table 237).
const (
	seedFilter = 1 << iota
	seedSubFilter
	seedV
	seedReasons
	seedLegal
	seedAddRevInfo
	seedDigest
	seedLock
	seedAppearance
)

// Flags of a certificate seed value dictionary (table 238).
const (
	certSubject = 1 << iota
	certIssuer
	certOID
	certSubjectDN
	_
	certKeyUsage
	certURL
)

// seed is a seed value dictionary, /SV.
type seed struct {
	flags      int64
	filter     string
	subFilters []string
	digests    []string
	reasons    []string
	version    float64
	legal      bool
	addRevInfo bool
	lock       string
	appearance bool
	mdp        int // -1 = not constrained, 0 = approval, 1..3 = certification
	timestamp  bool
	tsRequired bool

	certFlags int64
	subjects  [][]byte
	issuers   [][]byte
	keyUsage  []string
	certOther bool // a constraint we cannot check
}

// readSeed reads a signature field's /SV, nil if there is none.
func readSeed(d *pdf.Doc, field *pdf.Dict) (*seed, error) {
	dict, _, err := d.LookupDict(field, "SV")
	if err != nil || dict == nil {
		return nil, err
	}
	s := &seed{mdp: -1}
	read := func(step func() error) {
		if err == nil {
			err = step()
		}
	}
	read(func() (e error) { s.flags, e = d.LookupInt(dict, "Ff", 0); return })
	read(func() (e error) { n, e := d.LookupName(dict, "Filter"); s.filter = string(n); return e })
	read(func() (e error) { s.subFilters, e = stringList(d, dict, "SubFilter"); return })
	read(func() (e error) { s.digests, e = stringList(d, dict, "DigestMethod"); return })
	read(func() (e error) { s.reasons, e = stringList(d, dict, "Reasons"); return })
	read(func() error {
		v, e := d.Lookup(dict, "V")
		s.version, _ = pdf.Number(v)
		return e
	})
	read(func() error {
		v, e := d.Lookup(dict, "AddRevInfo")
		b, _ := v.(pdf.Bool)
		s.addRevInfo = bool(b)
		return e
	})
	read(func() error { s.legal = dict.Has("LegalAttestation"); return nil })
	read(func() error {
		v, e := d.Lookup(dict, "LockDocument")
		if n, ok := v.(pdf.Name); ok {
			s.lock = string(n)
		}
		return e
	})
	read(func() error { s.appearance = dict.Has("AppearanceFilter"); return nil })
	read(func() error {
		m, _, e := d.LookupDict(dict, "MDP")
		if e != nil || m == nil {
			return e
		}
		p, e := d.LookupInt(m, "P", -1)
		if p >= 0 && p <= 3 {
			s.mdp = int(p)
		}
		return e
	})
	read(func() error {
		ts, _, e := d.LookupDict(dict, "TimeStamp")
		if e != nil || ts == nil {
			return e
		}
		s.timestamp = true
		ff, e := d.LookupInt(ts, "Ff", 0)
		s.tsRequired = ff&1 != 0
		return e
	})
	read(func() error { return s.readCert(d, dict) })
	return s, err
}

func (s *seed) readCert(d *pdf.Doc, dict *pdf.Dict) error {
	c, _, err := d.LookupDict(dict, "Cert")
	if err != nil || c == nil {
		return err
	}
	if s.certFlags, err = d.LookupInt(c, "Ff", 0); err != nil {
		return err
	}
	if s.subjects, err = byteList(d, c, "Subject"); err != nil {
		return err
	}
	if s.issuers, err = byteList(d, c, "Issuer"); err != nil {
		return err
	}
	if s.keyUsage, err = stringList(d, c, "KeyUsage"); err != nil {
		return err
	}
	s.certOther = s.certFlags&(certOID|certSubjectDN) != 0
	return nil
}

// stringList reads an array of names or text strings.
func stringList(d *pdf.Doc, dict *pdf.Dict, key pdf.Name) ([]string, error) {
	a, _, err := d.LookupArray(dict, key)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, o := range a.All() {
		if o, err = d.Resolve(o); err != nil {
			return nil, err
		}
		switch v := o.(type) {
		case pdf.Name:
			list = append(list, string(v))
		case pdf.String:
			list = append(list, pdf.DecodeText(v.B))
		}
	}
	return list, nil
}

// byteList reads an array of byte strings, here encoded certificates.
func byteList(d *pdf.Doc, dict *pdf.Dict, key pdf.Name) ([][]byte, error) {
	a, _, err := d.LookupArray(dict, key)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, o := range a.All() {
		if o, err = d.Resolve(o); err != nil {
			return nil, err
		}
		if v, ok := o.(pdf.String); ok {
			list = append(list, v.B)
		}
	}
	return list, nil
}

// made is what a signature is or is to be, as far as seed values ask.
type made struct {
	filter, subFilter, digest, reason string
	certify                           int
	timestamp, revocation             bool
	chain                             []*x509.Certificate // leaf first
}

// broken returns a text for every required constraint that m does not meet.
func (s *seed) broken(m made) []string {
	if s == nil {
		return nil
	}
	var list []string
	say := func(format string, a ...any) { list = append(list, fmt.Sprintf(format, a...)) }
	if s.flags&seedFilter != 0 && s.filter != "" && s.filter != m.filter {
		say("filter must be %s", s.filter)
	}
	if s.flags&seedSubFilter != 0 && len(s.subFilters) > 0 && !slices.Contains(s.subFilters, m.subFilter) {
		say("subfilter must be one of %s", strings.Join(s.subFilters, ", "))
	}
	if s.flags&seedV != 0 && s.version > 3 {
		say("seed values of version %g", s.version)
	}
	if s.flags&seedDigest != 0 && len(s.digests) > 0 && !slices.ContainsFunc(s.digests, func(d string) bool {
		return digestKey(d) == digestKey(m.digest)
	}) {
		say("digest must be one of %s", strings.Join(s.digests, ", "))
	}
	if s.flags&seedReasons != 0 {
		switch {
		case len(s.reasons) == 0 || len(s.reasons) == 1 && s.reasons[0] == ".":
			if m.reason != "" {
				say("no reason may be given")
			}
		case !slices.Contains(s.reasons, m.reason):
			say("the reason must be one of those listed")
		}
	}
	if s.flags&seedLegal != 0 && s.legal {
		say("a legal attestation is required")
	}
	if s.flags&seedAddRevInfo != 0 && s.addRevInfo && !m.revocation {
		say("revocation data must be inside the signature")
	}
	if s.flags&seedLock != 0 && s.lock == "true" && m.certify != 1 {
		say("the document must be locked")
	}
	if s.flags&seedAppearance != 0 && s.appearance {
		say("a named appearance is required")
	}
	if s.mdp == 0 && m.certify != 0 {
		say("must be an approval signature")
	}
	if s.mdp > 0 && m.certify != s.mdp {
		say("must certify with P %d", s.mdp)
	}
	if s.tsRequired && !m.timestamp {
		say("a timestamp is required")
	}
	return append(list, s.brokenCert(m.chain)...)
}

func (s *seed) brokenCert(chain []*x509.Certificate) []string {
	if len(chain) == 0 {
		return nil
	}
	var list []string
	if s.certFlags&certSubject != 0 && len(s.subjects) > 0 && !slices.ContainsFunc(s.subjects, func(b []byte) bool {
		return bytes.Equal(b, chain[0].Raw)
	}) {
		list = append(list, "the certificate is not one of those named")
	}
	if s.certFlags&certIssuer != 0 && len(s.issuers) > 0 && !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
		return slices.ContainsFunc(s.issuers, func(b []byte) bool {
			return bytes.Equal(b, c.Raw) || issuedBy(c, b)
		})
	}) {
		list = append(list, "the certificate's issuer is not one of those named")
	}
	if s.certFlags&certKeyUsage != 0 && len(s.keyUsage) > 0 && !slices.ContainsFunc(s.keyUsage, func(want string) bool {
		return usageMeets(chain[0].KeyUsage, want)
	}) {
		list = append(list, "the certificate's key usage does not fit")
	}
	if s.certOther {
		list = append(list, "a constraint on the certificate that cannot be checked")
	}
	return list
}

// issuedBy reports whether the encoded certificate signed c.
func issuedBy(c *x509.Certificate, issuer []byte) bool {
	p, err := cms.ParseCertificate(issuer)
	return err == nil && bytes.Equal(p.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(p) == nil
}

// usageMeets compares a key usage with a pattern of 1, 0 and X, one character
// per bit from digitalSignature on.
func usageMeets(have x509.KeyUsage, want string) bool {
	for i, c := range want {
		bit := i < 9 && have&(1<<i) != 0
		if c == '1' && !bit || c == '0' && bit {
			return false
		}
	}
	return true
}

// digestKey makes "SHA-256", "SHA256" and "sha256" the same.
func digestKey(s string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", "_", "").Replace(s))
}

// unmet lists preferences that m does not follow, for warnings.
func (s *seed) unmet(m made) []string {
	if s == nil {
		return nil
	}
	all := *s
	all.flags = seedFilter | seedSubFilter | seedReasons | seedDigest
	all.tsRequired = s.timestamp
	hard := s.broken(m)
	var list []string
	for _, text := range all.broken(m) {
		if !slices.Contains(hard, text) {
			list = append(list, text)
		}
	}
	return list
}

func (s *seed) public() *Seed {
	if s == nil {
		return nil
	}
	p := &Seed{Timestamp: s.tsRequired, Certify: max(s.mdp, 0)}
	if s.flags&seedSubFilter != 0 {
		p.SubFilters = s.subFilters
	}
	if s.flags&seedDigest != 0 {
		p.Digests = s.digests
	}
	if s.flags&seedReasons != 0 {
		p.Reasons = s.reasons
	}
	return p
}

// dict writes a seed value dictionary in which everything is required.
func (s *Seed) dict() *pdf.Dict {
	d := pdf.MakeDict(pdf.KV{Key: "Type", Value: pdf.Name("SV")})
	flags := 0
	if len(s.SubFilters) > 0 {
		a := pdf.MakeArray()
		for _, n := range s.SubFilters {
			a.Append(pdf.Name(n))
		}
		d.Set("SubFilter", a)
		flags |= seedSubFilter
	}
	if len(s.Digests) > 0 {
		a := pdf.MakeArray()
		for _, n := range s.Digests {
			a.Append(pdf.Text(digestKey(n)))
		}
		d.Set("DigestMethod", a)
		flags |= seedDigest
	}
	if len(s.Reasons) > 0 {
		a := pdf.MakeArray()
		for _, n := range s.Reasons {
			a.Append(pdf.Text(n))
		}
		d.Set("Reasons", a)
		flags |= seedReasons
	}
	if s.Certify != 0 {
		d.Set("MDP", pdf.MakeDict(pdf.KV{Key: "P", Value: pdf.Int(s.Certify)}))
	}
	if s.Timestamp {
		d.Set("TimeStamp", pdf.MakeDict(pdf.KV{Key: "Ff", Value: pdf.Int(1)}))
	}
	d.Set("Ff", pdf.Int(flags))
	return d
}
