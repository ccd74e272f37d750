package sms

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Review is how far the approval of a template or signature has come on our
// side (S08, S20).
type Review string

// The states of a template or signature. Only Approved may be sent.
const (
	Draft         Review = "draft"
	PendingReview Review = "pending_review"
	Approved      Review = "approved"
	Refused       Review = "rejected"
	Suspended     Review = "suspended"
	Revoked       Review = "revoked"
)

// A ProviderReview is the same on a provider's side.
type ProviderReview string

// The states of a provider's review. Only Pass may be sent.
const (
	ReviewInit    ProviderReview = "INIT"
	ReviewPass    ProviderReview = "PASS"
	ReviewNotPass ProviderReview = "NOT_PASS"
	ReviewCancel  ProviderReview = "CANCEL"
)

// A Filing is how far the real-name filing of a signature with a carrier
// (签名实名报备) has come: an approved but unfiled signature is still blocked.
type Filing string

// The states of a filing.
const (
	FilingNone    Filing = "none"
	FilingPending Filing = "pending"
	FilingDone    Filing = "done"
	FilingFailed  Filing = "failed"
)

// AnyGateway and AnyCarrier stand for those that are not listed by name.
const (
	AnyGateway         = "*"
	AnyCarrier Carrier = "*"
)

// A Rule is what a variable may hold. Values that break it are refused, never
// cut.
type Rule string

// The rules of variables.
const (
	RuleDigits Rule = "digits" // 4 to 8 digits
	RuleAlnum  Rule = "alnum"  // 1 to 20 letters and digits of ASCII
	RuleTitle  Rule = "title"  // 1 to 20 characters; see [FitTitle]
	RuleName   Rule = "name"   // 1 to 30 letters, digits, spaces and ·()（）.-
	RuleAmount Rule = "amount" // up to 12 digits and two decimals
	RuleDate   Rule = "date"   // 1 to 20 characters of digits, 年月日时分 and - / : and space
	RuleLink   Rule = "link"   // https, host in Policy.LinkHosts, at most 100 characters
)

// longest is the most UTF-16 units a value of a rule can have.
func (r Rule) longest() int {
	switch r {
	case RuleDigits:
		return 8
	case RuleAlnum, RuleDate:
		return 20
	case RuleTitle:
		return 40
	case RuleName:
		return 60
	case RuleAmount:
		return 15
	case RuleLink:
		return 100
	}
	return 0
}

// A Template is one version of a wording. An approved version never changes; an
// edit is a new version.
type Template struct {
	Name    string          `json:"name"`    // at most 64 bytes, such as "invite"
	Version int             `json:"version"` // from 1
	Kind    Kind            `json:"kind"`
	Body    string          `json:"body"`           // variables as ${name}
	Vars    map[string]Rule `json:"vars,omitempty"` // every variable of Body
	State   Review          `json:"state"`
	Author  string          `json:"author"`
	// Reviewer approved it and is not the author. Required with Approved.
	Reviewer string `json:"reviewer,omitempty"`
	Reason   string `json:"reason,omitempty"` // a code: why it was rejected, suspended or revoked
	// Gateways is the provider's side, by gateway name or [AnyGateway]. A gateway
	// without a PASS does not send it.
	Gateways map[string]TemplateAt `json:"gateways,omitempty"`
}

// TemplateAt is a template at one provider.
type TemplateAt struct {
	Code   string         `json:"code,omitempty"` // the provider's code; gateways that take text need none
	Review ProviderReview `json:"review"`
}

// A Signature is the name in 【】 at the head of a text.
type Signature struct {
	Name     string                 `json:"name"`            // 2 to 12 characters, without brackets
	Kinds    []Kind                 `json:"kinds,omitempty"` // what it may head; empty: codes and notices
	State    Review                 `json:"state"`
	Author   string                 `json:"author"`
	Reviewer string                 `json:"reviewer,omitempty"`
	Reason   string                 `json:"reason,omitempty"`
	Gateways map[string]SignatureAt `json:"gateways,omitempty"` // by gateway name or [AnyGateway]
}

// SignatureAt is a signature at one provider.
type SignatureAt struct {
	Code   string             `json:"code,omitempty"`
	Review ProviderReview     `json:"review"`
	Filing map[Carrier]Filing `json:"filing,omitempty"` // by carrier or [AnyCarrier]
}

// A Catalogue holds the templates and signatures that the host declares with
// its configuration, for all tenants. Those of a tenant come before them.
type Catalogue struct {
	Templates  []Template
	Signatures []Signature
}

// An ApprovalError says what is missing. It unwraps to [ErrNotApproved].
type ApprovalError struct {
	Template  string // or Signature
	Signature string
	Missing   string // "unknown", "state", "kind", "provider", "filing"
}

// Error implements error.
func (e *ApprovalError) Error() string {
	if e.Signature != "" {
		return "sms: signature not approved: " + e.Missing
	}
	return "sms: template " + e.Template + " not approved: " + e.Missing
}

// Unwrap returns [ErrNotApproved].
func (e *ApprovalError) Unwrap() error { return ErrNotApproved }

// A VariableError names the variable and the rule that refused its value, never
// the value. It unwraps to [ErrVariable].
type VariableError struct {
	Name string
	Why  string // "missing", "extra", or the rule
}

// Error implements error.
func (e *VariableError) Error() string { return "sms: template variable " + e.Name + ": " + e.Why }

// Unwrap returns [ErrVariable].
func (e *VariableError) Unwrap() error { return ErrVariable }

var placeholder = regexp.MustCompile(`\$\{([a-z][a-z0-9_]{0,31})\}`)

// Validate refuses a template that could never be approved: unknown kind or
// rule, brackets or control characters in the body, variables that the body and
// Vars do not share, a body that is one variable, a reviewer who is the author.
func (t Template) Validate() error {
	bad := func(why string) error { return fmt.Errorf("%w %s: %s", ErrTemplate, t.Name, why) }
	switch {
	case t.Name == "" || len(t.Name) > 64 || !utf8.ValidString(t.Name):
		return fmt.Errorf("%w: name of 1 to 64 bytes", ErrTemplate)
	case t.Version < 1:
		return bad("version below 1")
	case !t.Kind.valid():
		return bad("unknown kind")
	case t.Body == "" || unprintable(t.Body) || strings.ContainsAny(t.Body, "【】"):
		return bad("empty body, control character or bracket")
	case strings.TrimSpace(placeholder.ReplaceAllString(t.Body, "")) == "":
		return bad("body is nothing but variables")
	case strings.Contains(placeholder.ReplaceAllString(t.Body, ""), "${"):
		return bad("malformed variable")
	}
	if t.Kind == Marketing && !strings.Contains(t.Body, "退订") && !strings.Contains(t.Body, "拒收") {
		return bad("commercial text without opt-out wording") // S15
	}
	used := t.names()
	for name, r := range t.Vars {
		if r.longest() == 0 {
			return bad("variable " + name + " has an unknown rule")
		}
		if !slices.Contains(used, name) {
			return bad("variable " + name + " is not in the body")
		}
	}
	for _, name := range used {
		if t.Vars[name] == "" {
			return bad("variable " + name + " has no rule")
		}
	}
	return reviewed(t.State, t.Author, t.Reviewer, bad)
}

func reviewed(s Review, author, reviewer string, bad func(string) error) error {
	switch s {
	case Draft, PendingReview, Refused, Suspended, Revoked:
		return nil
	case Approved:
		if reviewer == "" || reviewer == author {
			return bad("approved by nobody but its author")
		}
		return nil
	}
	return bad("unknown state")
}

// Validate refuses a signature of the wrong length or with brackets, and one
// whose reviewer is its author.
func (s Signature) Validate() error {
	bad := func(why string) error { return fmt.Errorf("%w: signature: %s", ErrTemplate, why) }
	if n := utf8.RuneCountInString(s.Name); n < 2 || n > 12 || unprintable(s.Name) || strings.ContainsAny(s.Name, "【】[]") {
		return bad("2 to 12 characters without brackets")
	}
	for _, k := range s.Kinds {
		if !k.valid() {
			return bad("unknown kind")
		}
	}
	return reviewed(s.State, s.Author, s.Reviewer, bad)
}

// names lists the variables of the body in their order, each once.
func (t Template) names() []string {
	var out []string
	for _, m := range placeholder.FindAllStringSubmatch(t.Body, -1) {
		if !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

// render checks the values and puts them in. hosts are those a link may name.
func (t Template) render(values map[string]string, hosts []string) (text string, vars []Var, err error) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := t.Vars[name]; !ok {
			return "", nil, &VariableError{Name: name, Why: "extra"}
		}
	}
	for _, name := range t.names() {
		v, ok := values[name]
		if !ok {
			return "", nil, &VariableError{Name: name, Why: "missing"}
		}
		if !t.Vars[name].holds(v, hosts) {
			return "", nil, &VariableError{Name: name, Why: string(t.Vars[name])}
		}
		vars = append(vars, Var{name, v})
	}
	// One pass: a value that looks like a variable stays what it is.
	text = placeholder.ReplaceAllStringFunc(t.Body, func(p string) string { return values[p[2:len(p)-1]] })
	return text, vars, nil
}

// widest is the body with every variable as long as its rule allows: what a
// text costs at most.
func (t Template) widest() string {
	return placeholder.ReplaceAllStringFunc(t.Body, func(p string) string {
		return strings.Repeat("字", t.Vars[p[2:len(p)-1]].longest())
	})
}

var rules = map[Rule]*regexp.Regexp{
	RuleDigits: regexp.MustCompile(`^[0-9]{4,8}$`),
	RuleAlnum:  regexp.MustCompile(`^[0-9A-Za-z]{1,20}$`),
	RuleTitle:  regexp.MustCompile(`^.{1,20}$`),
	RuleName:   regexp.MustCompile(`^[\p{L}\p{M}\p{N} ·•()（）.&-]{1,30}$`),
	RuleAmount: regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,2})?$`),
	RuleDate:   regexp.MustCompile(`^[0-9年月日时分/: -]{1,20}$`),
}

func (r Rule) holds(v string, hosts []string) bool {
	if unprintable(v) || strings.ContainsAny(v, "【】") || strings.TrimSpace(v) != v {
		return false
	}
	if r != RuleLink {
		return rules[r] != nil && rules[r].MatchString(v)
	}
	u, err := url.Parse(v)
	return err == nil && len(v) <= 100 && u.Scheme == "https" && u.User == nil && slices.Contains(hosts, u.Hostname())
}

// unprintable also refuses characters that reorder or hide text.
func unprintable(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	})
}

// FitTitle makes a document's title fit [RuleTitle]: brackets become 〔〕,
// characters that cannot be sent become spaces, and of a longer title the
// beginning and the end stay.
func FitTitle(s string) string {
	s = strings.NewReplacer("【", "〔", "】", "〕").Replace(strings.ToValidUTF8(s, " "))
	s = strings.Map(func(r rune) rune {
		if unprintable(string(r)) {
			return ' '
		}
		return r
	}, s)
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > 20 {
		r = append(append(r[:12:12], '…'), r[len(r)-7:]...)
	}
	return strings.TrimSpace(string(r))
}

// at is the provider's side of a template for a gateway.
func (t Template) at(gateway string) (TemplateAt, bool) {
	a, ok := t.Gateways[gateway]
	if !ok {
		a, ok = t.Gateways[AnyGateway]
	}
	return a, ok && a.Review == ReviewPass
}

func (s Signature) at(gateway string) (SignatureAt, bool) {
	a, ok := s.Gateways[gateway]
	if !ok {
		a, ok = s.Gateways[AnyGateway]
	}
	return a, ok && a.Review == ReviewPass
}

// filed reports whether a signature is filed with the carrier that a number
// likely belongs to. Filing is a domestic rule.
func (a SignatureAt) filed(to Number) bool {
	if to.E164() == "" { // not known yet; asked again at submission
		return slices.Contains(slices.Collect(maps.Values(a.Filing)), FilingDone)
	}
	if to.Region() != Domestic {
		return true
	}
	f, ok := a.Filing[CarrierOf(to)]
	if !ok {
		f = a.Filing[AnyCarrier]
	}
	return f == FilingDone
}

func (s Signature) heads(k Kind) bool {
	if len(s.Kinds) == 0 {
		return k != Marketing
	}
	return slices.Contains(s.Kinds, k)
}

// A Carrier is a mainland network.
type Carrier string

// The mainland carriers.
const (
	ChinaMobile   Carrier = "mobile"
	ChinaUnicom   Carrier = "unicom"
	ChinaTelecom  Carrier = "telecom"
	ChinaBroadnet Carrier = "broadnet"
)

// CarrierOf tells which carrier a domestic number was first given out by.
// Numbers are ported between carriers, so it is a likelihood.
func CarrierOf(n Number) Carrier {
	s := n.National()
	if len(s) != 11 {
		return ""
	}
	switch s[:3] {
	case "130", "131", "132", "145", "155", "156", "166", "167", "171", "175", "176", "185", "186", "196":
		return ChinaUnicom
	case "133", "149", "153", "162", "173", "174", "177", "180", "181", "189", "190", "191", "193", "199":
		return ChinaTelecom
	case "192":
		return ChinaBroadnet
	}
	return ChinaMobile
}
