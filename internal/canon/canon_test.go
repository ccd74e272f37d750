package canon_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/canon"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`{}`, `[]`, `""`, `0`, `-1`, `9007199254740991`, `-9007199254740991`, `true`, `false`,
		`{"a":1,"b":[true,false,"x"],"c_9":{"z":""}}`,
		`"\b\t\n\f\r\"\\\u0000\u001f` + "\u007f/张\u2028😀" + `"`,
	} {
		v, err := canon.Parse([]byte(s), 1<<14)
		require.NoError(t, err, s)
		b, err := canon.Append(nil, v)
		require.NoError(t, err)
		assert.Equal(t, s, string(b))
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty": ``, "null": `null`, "float": `1.0`, "exponent": `1e3`, "minus zero": `-0`, "leading zero": `01`, "plus": `+1`,
		"too large": `9007199254740992`, "too small": `-9007199254740992`, "huge": `99999999999999999999`, "minus": `-`,
		"space": `{ }`, "trailing space": `{} `, "trailing": `{}{}`, "comma": `[1,]`, "lead comma": `[,1]`, "object comma": `{"a":1,}`,
		"duplicate": `{"a":1,"a":2}`, "order": `{"b":1,"a":2}`, "key case": `{"A":1}`, "key empty": `{"":1}`,
		"key long": `{"` + strings.Repeat("a", 33) + `":1}`, "key escape": `{"\u0061":1}`,
		"escaped slash": `"\/"`, "escaped letter": `"\u0061"`, "upper hex": `"\u001F"`, "long newline": `"\u000a"`,
		"lone high": `"\ud800"`, "lone low": `"\udc00"`, "pair": `"\ud83d\ude00"`, "raw surrogate": "\"\xed\xa0\x80\"",
		"bad utf8": "\"\xff\"", "overlong": "\"\xc0\x80\"", "control": "\"\n\"", "open string": `"a`, "open array": `[1`, "open object": `{"a":1`,
		"deep": strings.Repeat("[", 18) + strings.Repeat("]", 18), "bom": "\ufeff{}", "nan": `NaN`, "single": `'a'`,
	} {
		_, err := canon.Parse([]byte(s), 1<<14)
		assert.ErrorIs(t, err, canon.ErrForm, name)
	}
	_, err := canon.Parse([]byte(`"abc"`), 4)
	assert.ErrorIs(t, err, canon.ErrForm)
	for _, v := range []any{nil, 1.5, "\xff", uint64(1 << 53), map[string]any{"A": 1}, []any{nil}, struct{}{}} {
		dst, err := canon.Append([]byte("kept"), v)
		assert.ErrorIs(t, err, canon.ErrForm)
		assert.Equal(t, "kept", string(dst))
	}
}

func values() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64Range(-canon.MaxInt, canon.MaxInt), func(n int64) any { return n }))
	key := rapid.StringMatching(`[a-z0-9_]{1,32}`)
	v := leaf
	for range 3 {
		in := v
		v = rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(in, 0, 4), func(s []any) any {
				if s == nil {
					s = []any{}
				}
				return s
			}),
			rapid.Map(rapid.MapOfN(key, in, 0, 4), func(m map[string]any) any { return m }))
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := values().Draw(t, "v")
		b, err := canon.Append(nil, v)
		require.NoError(t, err)
		got, err := canon.Parse(b, 1<<20)
		require.NoError(t, err)
		assert.Equal(t, v, got)
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,true,"\u0001x"]}`, `[`, `"\ud800"`, `-0`, `{"a":1,"a":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := canon.Parse(b, 1<<14)
		if err != nil {
			return
		}
		again, err := canon.Append(nil, v)
		if err != nil || string(again) != string(b) {
			t.Fatalf("accepted bytes that are not the one form: %q, %q", b, again)
		}
	})
}
