package identity

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/privacy"
)

// ErrForm is the class of every local check's refusal: the text cannot be what
// it claims to be. It says nothing about whether such a person, number or
// organisation exists.
var ErrForm = coded.New("malformed", "identity: malformed")

// A FormError names the check and the rule that refused, never the value. It
// unwraps to [ErrForm].
type FormError struct {
	Check string // "id", "credit", "mobile", "e164", "card", "name", "date"
	Rule  string // "length", "alphabet", "province", "birth", "check", "organisation", "prefix"
}

// Error implements error.
func (e *FormError) Error() string { return "identity: check " + e.Check + ": bad " + e.Rule }

// Unwrap returns [ErrForm].
func (e *FormError) Unwrap() error { return ErrForm }

func badForm(check, rule string) error { return &FormError{Check: check, Rule: rule} }

// IDFacts is what a resident identity number (居民身份证号码) says of itself.
// It holds personal data: keep it no longer than the check needs.
type IDFacts struct {
	Birth  privacy.Date
	Female bool
	// Province is the two-digit code of the place of first registration;
	// 81, 82 and 83 are residence permits of Hong Kong, Macao and Taiwan people.
	Province string
}

// provinces holds the two-digit codes of GB/T 2260 and those of residence
// permits.
const provinces = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83"

// CheckIDNumber checks the form of an 18-place identity number of GB 11643:
// digits, province, a real birth date from 1850 to today (Asia/Shanghai), check
// character by ISO 7064 mod 11-2. A final x counts as X. Every wrong digit and
// every swap of two neighbours is caught. The error is a [*FormError].
func CheckIDNumber(s string) (IDFacts, error) { return checkIDNumber(s, time.Now()) }

func checkIDNumber(s string, now time.Time) (IDFacts, error) {
	const check = "id"
	if len(s) != 18 {
		return IDFacts{}, badForm(check, "length")
	}
	// The weight of place i (from the left, 0-based) is 2^(17-i) mod 11, so the
	// sum can be taken by doubling.
	rem := 0
	for i := range 18 {
		v := 0
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case i == 17 && (c == 'X' || c == 'x'):
			v = 10
		default:
			return IDFacts{}, badForm(check, "alphabet")
		}
		if i < 17 {
			rem = (rem + v) * 2 % 11
		} else if (rem+v)%11 != 1 {
			return IDFacts{}, badForm(check, "check")
		}
	}
	if !strings.Contains(provinces, s[:2]) {
		return IDFacts{}, badForm(check, "province")
	}
	birth := privacy.Date{Year: atoi(s[6:10]), Month: time.Month(atoi(s[10:12])), Day: atoi(s[12:14])}
	if birth.Year < 1850 || !birth.Valid() || later(birth, privacy.DateOf(now)) {
		return IDFacts{}, badForm(check, "birth")
	}
	return IDFacts{Birth: birth, Female: (s[16]-'0')%2 == 0, Province: s[:2]}, nil
}

// later reports whether a is a later day than b.
func later(a, b privacy.Date) bool {
	if a.Year != b.Year {
		return a.Year > b.Year
	}
	if a.Month != b.Month {
		return a.Month > b.Month
	}
	return a.Day > b.Day
}

// NormalIDNumber returns s with a final x as X, the form in which numbers are
// compared and indexed.
func NormalIDNumber(s string) string { return strings.ToUpper(s) }

func atoi(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// CreditFacts is what a unified social credit code (统一社会信用代码) says of
// itself.
type CreditFacts struct {
	Organisation string // the embedded organisation code of GB 11714, 9 characters
	Sole         bool   // a sole trader (个体工商户, 92)
}

const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// CheckCreditCode checks the form of a unified social credit code of GB 32100:
// 18 characters without I, O, S, V, Z, the check character (weights 3^i, mod
// 31), and the check character of the organisation code in places 9 to 17 (GB
// 11714), so that a code repaired in its last place alone is still refused. The
// error is a [*FormError].
func CheckCreditCode(s string) (CreditFacts, error) {
	const check = "credit"
	if len(s) != 18 {
		return CreditFacts{}, badForm(check, "length")
	}
	sum, weight := 0, 1
	for i := range 18 {
		v := strings.IndexByte(creditAlphabet, s[i])
		if v < 0 {
			return CreditFacts{}, badForm(check, "alphabet")
		}
		if i == 17 {
			if (sum+v)%31 != 0 {
				return CreditFacts{}, badForm(check, "check")
			}
			break
		}
		sum += v * weight
		weight = weight * 3 % 31
	}
	for i := 2; i < 8; i++ {
		if s[i] < '0' || s[i] > '9' {
			return CreditFacts{}, badForm(check, "alphabet")
		}
	}
	if !organisationCode(s[8:17]) {
		return CreditFacts{}, badForm(check, "organisation")
	}
	return CreditFacts{Organisation: s[8:17], Sole: s[:2] == "92"}, nil
}

// organisationCode checks the 9 characters of GB 11714.
func organisationCode(s string) bool {
	weights := [8]int{3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			sum += int(c-'0') * w
		default: // the letters of the alphabet above, A is 10
			sum += int(c-'A'+10) * w
		}
	}
	return s[8] == "0123456789X"[(11-sum%11)%11]
}

// MobileFacts is what a mainland mobile number says of itself.
type MobileFacts struct {
	Number  string // 11 digits, prefix stripped; personal data
	Virtual bool   // a virtual operator: a carrier check may not know it
}

// CheckMobile checks the form of a mainland mobile number, 1[3-9] and nine
// digits, after stripping +86 or 0086. The error is a [*FormError].
func CheckMobile(s string) (MobileFacts, error) {
	const check = "mobile"
	if n, ok := strings.CutPrefix(s, "+86"); ok {
		s = n
	} else if n, ok := strings.CutPrefix(s, "0086"); ok {
		s = n
	}
	if len(s) != 11 {
		return MobileFacts{}, badForm(check, "length")
	}
	if !digits(s) {
		return MobileFacts{}, badForm(check, "alphabet")
	}
	if s[0] != '1' || s[1] < '3' {
		return MobileFacts{}, badForm(check, "prefix")
	}
	virtual := false
	switch s[:3] {
	case "162", "165", "167", "170", "171":
		virtual = true
	}
	return MobileFacts{Number: s, Virtual: virtual}, nil
}

// CheckE164 checks the form of an international number: + and 7 to 15 digits,
// the first not 0. The error is a [*FormError].
func CheckE164(s string) error {
	const check = "e164"
	n, ok := strings.CutPrefix(s, "+")
	switch {
	case !ok:
		return badForm(check, "prefix")
	case len(n) < 7 || len(n) > 15:
		return badForm(check, "length")
	case !digits(n):
		return badForm(check, "alphabet")
	case n[0] == '0':
		return badForm(check, "prefix")
	}
	return nil
}

// CheckCard checks the form of a bank card number: 12 to 19 digits that pass
// Luhn's check. The error is a [*FormError].
func CheckCard(s string) error {
	const check = "card"
	if len(s) < 12 || len(s) > 19 {
		return badForm(check, "length")
	}
	if !digits(s) {
		return badForm(check, "alphabet")
	}
	sum := 0
	for i := range len(s) {
		v := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	if sum%10 != 0 {
		return badForm(check, "check")
	}
	return nil
}

// CheckName checks the form of a person's name: 2 to 50 code points, letters of
// any script (han and its extensions among them) and the middle dot (·, or • as
// some keyboards write it), which stands between two letters. A name of Latin
// letters may hold single spaces, hyphens and apostrophes between letters. What
// was given is kept as it is; nothing is folded. The error is a [*FormError].
func CheckName(s string) error {
	const check = "name"
	if !utf8.ValidString(s) {
		return badForm(check, "alphabet")
	}
	if n := utf8.RuneCountInString(s); n < 2 || n > 50 {
		return badForm(check, "length")
	}
	between := true // a separator may not come first, last, or twice in a row
	var last rune
	for _, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.M, r) && !between:
			if last == ' ' && unicode.Is(unicode.Han, r) {
				return badForm(check, "alphabet")
			}
			between = false
		case r == '·' || r == '•':
			if between {
				return badForm(check, "alphabet")
			}
			between = true
		case r == ' ' || r == '-' || r == '\'' || r == '’':
			if between || unicode.Is(unicode.Han, last) {
				return badForm(check, "alphabet")
			}
			between = true
		default:
			return badForm(check, "alphabet")
		}
		last = r
	}
	if between {
		return badForm(check, "alphabet")
	}
	return nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
