package sms

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRender: whatever the value, a text is what the template says, whole, or
// nothing.
func FuzzRender(f *testing.F) {
	t0 := Template{Name: "t", Version: 1, Kind: Notice, Body: "甲${a}乙${b}丙", Vars: map[string]Rule{"a": RuleTitle, "b": RuleLink}, State: Draft}
	f.Add("保密协议", "https://sign.example.com/x")
	f.Add("${b}", "https://sign.example.com/")
	f.Add("【银行】", "http://evil.example")
	f.Add("a\u202eb", "https://sign.example.com@evil.example/")
	f.Fuzz(func(t *testing.T, a, b string) {
		text, vars, err := t0.render(map[string]string{"a": a, "b": b}, []string{"sign.example.com"})
		if err != nil {
			if text != "" || vars != nil || strings.Contains(err.Error(), a) && len(a) > 8 {
				t.Fatal("a refusal that says something")
			}
			return
		}
		if text != "甲"+a+"乙"+b+"丙" || strings.ContainsAny(text, "【】") || !utf8.ValidString(text) {
			t.Fatalf("%q", text)
		}
		if !strings.HasPrefix(b, "https://sign.example.com") {
			t.Fatalf("%q", b)
		}
		if n := utf16Len(text); n > utf16Len(t0.widest()) {
			t.Fatalf("%d units, at most %d promised", n, utf16Len(t0.widest()))
		}
	})
}

// FuzzNumber: a number prints masked whatever it is.
func FuzzNumber(f *testing.F) {
	f.Add("13812345678")
	f.Add("+85298765432")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := NewNumber(s)
		if err != nil {
			return
		}
		again, err := NewNumber(n.E164())
		if err != nil || again.E164() != n.E164() {
			t.Fatal("not stable")
		}
		if strings.Count(n.Masked(), "*") < 3 {
			t.Fatalf("%s shows too much", n.Masked())
		}
	})
}
