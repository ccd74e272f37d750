package identity_test

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
)

func TestCheckIDNumber(t *testing.T) {
	for _, tc := range []struct{ in, rule string }{
		{"11010519491231002X", ""},
		{"11010519491231002x", ""},
		{"440524188001010014", ""},
		{"110105194912310021", "check"},
		{"110105194902300020", "birth"}, // 30 February
		{"11010519491231002", "length"},
		{"1101051949123100２X", "length"}, // a full-width digit
		{"1101051949123100AX", "alphabet"},
		{"X1010519491231002X", "alphabet"},
		{withCheck("99010519491231002"), "province"},
		{withCheck("11010518491231002"), "birth"},
		{withCheck("11010529990101002"), "birth"}, // the future
		{withCheck("11010519000229002"), "birth"}, // 1900 had no 29 February
		{withCheck("11010520000229002"), ""},
		{"", "length"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			f, err := identity.CheckIDNumber(tc.in)
			requireRule(t, err, "id", tc.rule)
			if err == nil {
				assert.True(t, f.Birth.Valid())
			}
		})
	}
	f, err := identity.CheckIDNumber("11010519491231002X")
	require.NoError(t, err)
	assert.Equal(t, identity.IDFacts{Birth: privacy.Date{Year: 1949, Month: 12, Day: 31}, Female: true, Province: "11"}, f)
	assert.Equal(t, "11010519491231002X", identity.NormalIDNumber("11010519491231002x"))
}

// requireRule wants no error for an empty rule, else a FormError naming it and
// nothing of the value.
func requireRule(t *testing.T, err error, check, rule string) {
	t.Helper()
	if rule == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, identity.ErrForm)
	var form *identity.FormError
	require.ErrorAs(t, err, &form)
	assert.Equal(t, identity.FormError{Check: check, Rule: rule}, *form)
}

// withCheck completes the first 17 places; written apart from the code under
// test, from the weights of the standard.
func withCheck(s string) string {
	weights := [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	sum := 0
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return s + string("10X98765432"[sum%11])
}

func draw(t *testing.T, n int) int {
	t.Helper()
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	require.NoError(t, err)
	return int(v.Int64())
}

// TestIDNumberErrorsAreCaught: all single-digit errors and adjacent swaps of
// 1000 random numbers.
func TestIDNumberErrorsAreCaught(t *testing.T) {
	t.Parallel()
	provinces := []string{"11", "31", "44", "51", "65", "81", "83"}
	for range 1000 {
		id := withCheck(provinces[draw(t, len(provinces))] + fmt.Sprintf("%04d", draw(t, 10000)) +
			fmt.Sprintf("%04d%02d%02d", 1930+draw(t, 90), 1+draw(t, 12), 1+draw(t, 28)) + fmt.Sprintf("%03d", draw(t, 1000)))
		_, err := identity.CheckIDNumber(id)
		require.NoError(t, err)
		for i := range 18 {
			for _, c := range "0123456789X" {
				bad := id[:i] + string(c) + id[i+1:]
				if bad == id {
					continue
				}
				_, err := identity.CheckIDNumber(bad)
				require.ErrorIs(t, err, identity.ErrForm)
			}
			if i > 0 && id[i-1] != id[i] {
				bad := id[:i-1] + string(id[i]) + string(id[i-1]) + id[i+1:]
				_, err := identity.CheckIDNumber(bad)
				require.ErrorIs(t, err, identity.ErrForm)
			}
		}
	}
}

func TestCheckCreditCode(t *testing.T) {
	for _, tc := range []struct{ in, rule string }{
		{"91350100M000100Y43", ""},
		{"91350100M000100Y56", "organisation"}, // place 17 changed, 18 repaired
		{"91350100M000100Y44", "check"},
		{"91350100M000100Y4", "length"},
		{"91350100I000100Y43", "alphabet"},
		{"91350100m000100y43", "alphabet"},
	} {
		t.Run("T22 "+tc.in, func(t *testing.T) {
			f, err := identity.CheckCreditCode(tc.in)
			requireRule(t, err, "credit", tc.rule)
			if err == nil {
				assert.Equal(t, identity.CreditFacts{Organisation: "M000100Y4"}, f)
			}
		})
	}
	const good = "91350100M000100Y43"
	for i := range 18 {
		for _, c := range "0123456789ABCDEFGHJKLMNPQRTUWXY" {
			if bad := good[:i] + string(c) + good[i+1:]; bad != good {
				_, err := identity.CheckCreditCode(bad)
				require.ErrorIs(t, err, identity.ErrForm, bad)
			}
		}
	}
}

func TestCheckMobile(t *testing.T) {
	for _, tc := range []struct {
		in, rule string
		want     identity.MobileFacts
	}{
		{"13800138000", "", identity.MobileFacts{Number: "13800138000"}},
		{"+8613800138000", "", identity.MobileFacts{Number: "13800138000"}},
		{"008613800138000", "", identity.MobileFacts{Number: "13800138000"}},
		{"17012345678", "", identity.MobileFacts{Number: "17012345678", Virtual: true}},
		{"16212345678", "", identity.MobileFacts{Number: "16212345678", Virtual: true}},
		{"12345678901", "prefix", identity.MobileFacts{}},
		{"1380013800", "length", identity.MobileFacts{}},
		{"1380013800a", "alphabet", identity.MobileFacts{}},
		{"+85213800138000", "length", identity.MobileFacts{}},
	} {
		t.Run(tc.in, func(t *testing.T) {
			f, err := identity.CheckMobile(tc.in)
			requireRule(t, err, "mobile", tc.rule)
			assert.Equal(t, tc.want, f)
		})
	}
}

func TestCheckE164AndCard(t *testing.T) {
	requireRule(t, identity.CheckE164("+85298765432"), "e164", "")
	requireRule(t, identity.CheckE164("+1234567"), "e164", "")
	requireRule(t, identity.CheckE164("+123456789012345"), "e164", "")
	requireRule(t, identity.CheckE164("+123456"), "e164", "length")
	requireRule(t, identity.CheckE164("+1234567890123456"), "e164", "length")
	requireRule(t, identity.CheckE164("+0123456789"), "e164", "prefix")
	requireRule(t, identity.CheckE164("85298765432"), "e164", "prefix")
	requireRule(t, identity.CheckE164("+8529876543a"), "e164", "alphabet")

	requireRule(t, identity.CheckCard("4111111111111111"), "card", "")
	requireRule(t, identity.CheckCard("4111111111111112"), "card", "check")
	requireRule(t, identity.CheckCard("41111111111"), "card", "length")
	requireRule(t, identity.CheckCard("4111 1111 1111 1111"), "card", "alphabet")
}

func TestCheckName(t *testing.T) {
	for name, rule := range map[string]string{
		"张三": "", "尼格买提·热合曼": "", "𠮷野": "", "㼆㼆": "", "Zoë O’Neill": "", "Jean-Luc Picard": "",
		"张": "length", strings.Repeat("张", 50): "", strings.Repeat("张", 51): "length",
		"张 三": "alphabet", "·张三": "alphabet", "张三·": "alphabet", "张··三": "alphabet",
		"张3": "alphabet", "张三\n": "alphabet", "<b>张三": "alphabet", "张\xff三": "alphabet", "张\u200b三": "alphabet",
	} {
		t.Run(name, func(t *testing.T) { requireRule(t, identity.CheckName(name), "name", rule) })
	}
}
