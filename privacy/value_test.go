package privacy_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/privacy"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// canaries are one value of each type, with the clear text that must not show.
func canaries() map[string]privacy.Value {
	return map[string]privacy.Value{
		"欧阳娜娜":                       must(privacy.NewName("欧阳娜娜")),
		"13812345678":                must(privacy.NewPhone("13812345678")),
		"canary.mail@example.com":    must(privacy.NewEmail("canary.mail@example.com")),
		"11010519491231002X":         must(privacy.NewIDNumber("11010519491231002x")),
		"6222021234567890123":        must(privacy.NewBankCard("6222 0212 3456 7890 123")),
		"203.0.113.77":               must(privacy.NewIP("203.0.113.77")),
		"上海市浦东新区张江路一号":               must(privacy.NewAddress("上海市浦东新区张江路一号")),
		"31.230400,121.473700":       must(privacy.NewLocation(31.2304, 121.4737)),
		"CANARYFACEBYTES":            must(privacy.NewBiometric([]byte("CANARYFACEBYTES"))),
		"CanaryBrowser/1.0 (canary)": must(privacy.NewText("CanaryBrowser/1.0 (canary)")),
	}
}

// spellings are the ways in which a text may leak.
func spellings(s string) []string {
	u16 := utf16.Encode([]rune(s))
	wide := make([]byte, 0, 2*len(u16))
	for _, u := range u16 {
		wide = append(wide, byte(u>>8), byte(u))
	}
	return []string{s, strings.ToLower(s), hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s))),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)), string(wide), url.QueryEscape(s),
		fmt.Sprintf("%q", s), fmt.Sprintf("%+q", s), fmt.Sprintf("%x", []rune(s)), fmt.Sprintf("%v", []byte(s)), fmt.Sprintf("%#v", []byte(s))}
}

func hunt(t *testing.T, where, out, clear string) {
	t.Helper()
	for _, s := range spellings(clear) {
		if len(s) >= 4 && strings.Contains(out, s) {
			t.Errorf("%s shows clear text", where) // and the test does not show it either
			return
		}
	}
}

// P02 P08 S25, conventions 29: a value shows itself in no way of printing,
// logging or encoding, wherever it stands.
func TestP02Canary(t *testing.T) {
	t.Parallel()
	for clear, v := range canaries() {
		type inner struct{ v privacy.Value }
		type outer struct {
			Exported privacy.Value
			hidden   privacy.Value
			nested   *inner
			list     []privacy.Value
			byName   map[string]privacy.Value
			any      any
		}
		o := outer{v, v, &inner{v}, []privacy.Value{v}, map[string]privacy.Value{"k": v}, v}
		ptr := reflect.New(reflect.TypeOf(v))
		ptr.Elem().Set(reflect.ValueOf(v))
		shapes := map[string]any{"value": v, "pointer": ptr.Interface(), "struct": o, "pointer to struct": &o, "slice": []privacy.Value{v},
			"map": map[string]privacy.Value{"k": v}, "nested": []any{map[string]any{"a": &o}}, "error": fmt.Errorf("wrapped %v: %w", v, errors.New("x")),
			"opening": privacy.NewOpening("f", []byte(clear), clear)}
		// A concrete unexported field is what fmt prints past the Formatter.
		if p, ok := v.(privacy.Phone); ok {
			shapes["concrete"] = struct{ p privacy.Phone }{p}
			shapes["deep"] = struct{ a struct{ b []privacy.Phone } }{struct{ b []privacy.Phone }{[]privacy.Phone{p}}}
		}
		for name, x := range shapes {
			for _, flags := range []string{"", "+", "#", "-30", "30", " ", "0", "+#", ".3", "-+# 040.5"} {
				for _, verb := range "vTtbcdoOqxXUeEfFgGspw!z" {
					hunt(t, fmt.Sprintf("%s %%%s%c", name, flags, verb), fmt.Sprintf("%"+flags+string(verb), x), clear)
				}
			}
			hunt(t, name+" Sprint", fmt.Sprint(x)+fmt.Sprintln(x), clear)
			var b bytes.Buffer
			for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
				l := slog.New(h)
				l.Info("m", "x", x, slog.Group("g", "x", x))
				l.With("x", x).WithGroup("g").Info(fmt.Sprint(x))
			}
			hunt(t, name+" slog", b.String(), clear)
			j, _ := json.Marshal(x)
			hunt(t, name+" json", string(j), clear)
			m, _ := xml.Marshal(x)
			hunt(t, name+" xml", string(m), clear)
			b.Reset()
			_ = gob.NewEncoder(&b).Encode(x)
			hunt(t, name+" gob", b.String(), clear)
			b.Reset()
			dump(&b, reflect.ValueOf(x), 0)
			hunt(t, name+" reflection", b.String(), clear)
			func() {
				defer func() { hunt(t, name+" panic", fmt.Sprint(recover()), clear) }()
				panic(x)
			}()
		}
		assert.ErrorIs(t, gob.NewEncoder(new(bytes.Buffer)).Encode(v), privacy.ErrClear)
		_, err := v.(driver.Valuer).Value()
		assert.ErrorIs(t, err, privacy.ErrClear)
		assert.NotEqual(t, clear, v.Masked())
	}
}

// dump walks everything reflection can reach, unexported fields included.
func dump(b *bytes.Buffer, v reflect.Value, depth int) {
	if depth > 12 || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		b.WriteString(v.String() + "\n")
	case reflect.Pointer, reflect.Interface:
		dump(b, v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			dump(b, v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			dump(b, v.Index(i), depth+1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			dump(b, k, depth+1)
			dump(b, v.MapIndex(k), depth+1)
		}
	case reflect.Uint8, reflect.Int32, reflect.Int64:
		fmt.Fprint(b, v)
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	name := func(s string) string { return must(privacy.NewName(s)).Masked() }
	phone := func(s string) string { return must(privacy.NewPhone(s)).Masked() }
	for _, c := range [][2]string{
		{name("张三"), "张*"}, {name("张三丰"), "张*丰"}, {name("欧阳娜娜"), "欧阳**"}, {name("欧阳修"), "欧阳*"}, {name("欧阳"), "欧*"}, {name("张"), "*"},
		{name("司马相如君"), "司马***"}, {name("爱新觉罗"), "爱**罗"}, {name("买买提·阿不都"), "买***"}, {name("John Smith"), "J***"}, {name("Li"), "L***"},
		{phone("13800138000"), "138****8000"}, {phone("+86 138-0013-8000"), "138****8000"}, {phone("0086 13800138000"), "138****8000"},
		{phone("+447911123456"), "+44********56"}, {phone("+12025550123"), "+1********23"}, {phone("+85291234567"), "+852******67"},
		{must(privacy.NewIDNumber("11010519491231002X")).Masked(), "110***********002X"},
		{must(privacy.NewIDNumber("11010519491231002X")).Strict(), "1****************X"},
		{must(privacy.NewIDNumber("E12345678")).Masked(), "E*******8"}, {must(privacy.NewIDNumber("A1234")).Masked(), "*****"},
		{must(privacy.NewBankCard("6222021234567890123")).Masked(), "**** 0123"},
		{must(privacy.NewEmail("alice@X.com")).Masked(), "a***@x.com"}, {must(privacy.NewEmail("a@x.com")).Masked(), "***@x.com"},
		{must(privacy.NewIP("203.0.113.77")).Masked(), "203.0.113.0/24"}, {must(privacy.NewIP("2001:db8:1:2:3::4")).Masked(), "2001:db8:1::/48"},
		{must(privacy.NewIP("::ffff:203.0.113.77")).Masked(), "203.0.113.0/24"},
		{must(privacy.NewAddress("上海市浦东新区张江路一号")).Masked(), "上海****"}, {must(privacy.NewAddress("张江路一号")).Masked(), "****"},
	} {
		assert.Equal(t, c[1], c[0])
	}
	assert.Equal(t, "[  张*丰]", fmt.Sprintf("[%5v]", must(privacy.NewName("张三丰"))))
	assert.Equal(t, `"张*丰"`, fmt.Sprintf("%q", must(privacy.NewName("张三丰"))))
	assert.Empty(t, fmt.Sprint(privacy.Phone{}))
}

func TestMasksShowNoMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[\p{Han}]{1,12}|[A-Za-z]{1,20}`).Draw(t, "name")
		n, err := privacy.NewName(s)
		if err != nil {
			return
		}
		shown := 0
		for _, r := range n.Masked() {
			if r != '*' {
				shown++
			}
		}
		assert.LessOrEqual(t, shown, 2)
		assert.Less(t, shown, max(2, utf8.RuneCountInString(s)))
		d := rapid.StringMatching(`\+[1-9][0-9]{6,14}`).Draw(t, "phone")
		p, err := privacy.NewPhone(d)
		if rest, mainland := strings.CutPrefix(d, "+86"); mainland && len(rest) == 11 && (rest[0] != '1' || rest[1] < '3') {
			require.Error(t, err) // no mobile number
			return
		}
		require.NoError(t, err)
		assert.LessOrEqual(t, len(strings.Trim(p.Masked(), "+"))-strings.Count(p.Masked(), "*"), 7)
		assert.Contains(t, p.Masked(), "**")
	})
}

func TestDecodingMaskedIsRefused(t *testing.T) {
	t.Parallel()
	type form struct {
		Name  privacy.Name     `json:"name"`
		Phone privacy.Phone    `json:"phone"`
		Email privacy.Email    `json:"email"`
		ID    privacy.IDNumber `json:"id"`
		Card  privacy.BankCard `json:"card"`
		IP    privacy.IP       `json:"ip"`
		Home  privacy.Address  `json:"home"`
		Agent privacy.Text     `json:"agent"`
	}
	in := `{"name":"张三丰","phone":"13812345678","email":"a.b@x.com","id":"11010519491231002x","card":"6222021234567890123","ip":"203.0.113.77","home":"上海市浦东新区张江路一号","agent":"a */*"}`
	var f form
	require.NoError(t, json.Unmarshal([]byte(in), &f))
	out := must(json.Marshal(f))
	var masked map[string]string
	require.NoError(t, json.Unmarshal(out, &masked))
	for k, v := range masked {
		b := must(json.Marshal(map[string]string{k: v}))
		assert.ErrorIs(t, json.Unmarshal(b, new(form)), privacy.ErrMasked, k)
	}
	assert.NoError(t, json.Unmarshal([]byte(`{"name":"","phone":""}`), new(form)))
}

func TestInvalidValuesAreNotQuoted(t *testing.T) {
	t.Parallel()
	bad := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, privacy.ErrInvalid)
		assert.NotContains(t, err.Error(), "Canary")
	}
	for _, s := range []string{"", " Canary", "Canary\n", "Canary\xff", "Canary\x00", strings.Repeat("Canary", 50)} {
		_, err := privacy.NewName(s)
		bad(err)
	}
	for _, s := range []string{"Canary", "12345678901", "1381234567", "+0123456789", "+123456", "+1234567890123456", "138 1234 567a"} {
		_, err := privacy.NewPhone(s)
		bad(err)
	}
	for _, s := range []string{"Canary", "@x.com", "a@", "a@x", "a@@x.com", "Canary <a@x.com>", "a@.com"} {
		_, err := privacy.NewEmail(s)
		bad(err)
	}
	_, err := privacy.NewIP("Canary")
	bad(err)
	_, err = privacy.NewIDNumber("Canary-1")
	bad(err)
	_, err = privacy.NewBankCard("Canary")
	bad(err)
	_, err = privacy.NewLocation(91, 0)
	bad(err)
	_, err = privacy.NewBiometric(nil)
	bad(err)
}

func TestLooseReveal(t *testing.T) {
	t.Parallel()
	p := must(privacy.NewPhone("13812345678"))
	_, err := p.Reveal(context.Background(), privacy.PurposeDelivery)
	require.ErrorIs(t, err, privacy.ErrNoAccessor)
	s, err := p.Reveal(privacy.InsecureAccess(t.Context()), privacy.PurposeDelivery)
	require.NoError(t, err)
	assert.Equal(t, "13812345678", s)
	assert.True(t, privacy.Equal(p, must(privacy.NewPhone("+8613812345678"))))
	assert.False(t, privacy.Equal(p, must(privacy.NewPhone("13812345679"))))
	assert.False(t, privacy.Equal(p, must(privacy.NewText("13812345678"))))
}
