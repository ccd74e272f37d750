// Package canon reads and writes restricted JCS: RFC 8785 without anything that
// has two ways to be written or read. It knows objects, arrays, booleans, UTF-8
// strings and integers of at most 53 bits; keys are 1 to 32 characters of a-z,
// 0-9 and _. Floats, null, lone surrogates, duplicate or unordered keys and
// white space are refused, never repaired, and nothing is normalised. So a
// value has exactly one form in bytes, and [Parse] takes that one only.
//
// In Go an object is a map[string]any, an array []any, an integer int64 (int
// and uint64 are written too), a string and a boolean themselves.
package canon

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// MaxInt is the largest integer, and -MaxInt the smallest: what a reader
	// that keeps numbers as doubles reads exactly.
	MaxInt = 1<<53 - 1
	// MaxDepth is the deepest nesting of arrays and objects.
	MaxDepth = 16
	maxKey   = 32
)

// ErrForm is a value that restricted JCS cannot express, or bytes that are not
// its one form. The text says what and where, and never quotes the value.
var ErrForm = errors.New("canon: not restricted JCS")

func form(what string) error { return fmt.Errorf("%w: %s", ErrForm, what) }

// inKey are the characters of keys.
var inKey = func() (t [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789_") {
		t[c] = true
	}
	return t
}()

// InKey reports whether a key can have the character c.
func InKey(c byte) bool { return inKey[c] }

// ValidKey reports whether s can be a key.
func ValidKey(s string) bool {
	if len(s) == 0 || len(s) > maxKey {
		return false
	}
	for i := range len(s) {
		if !inKey[s[i]] {
			return false
		}
	}
	return true
}

// Append appends the canonical form of v to dst. On error dst is returned as it
// was.
func Append(dst []byte, v any) ([]byte, error) {
	out, err := appendValue(dst, v, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, form("nested too deep")
	}
	switch v := v.(type) {
	case string:
		return AppendString(dst, v)
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		return AppendInt(dst, v)
	case int:
		return AppendInt(dst, int64(v))
	case uint64:
		if v > MaxInt {
			return nil, form("integer out of range")
		}
		return AppendInt(dst, int64(v))
	case []any:
		dst = append(dst, '[')
		var err error
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendValue(dst, x, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case []string:
		dst = append(dst, '[')
		var err error
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = AppendString(dst, x); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		var room [16]string
		keys := room[:0]
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys) // ASCII, so the order of UTF-16 units is the order of bytes
		dst = append(dst, '{')
		var err error
		for i, k := range keys {
			if !ValidKey(k) {
				return nil, form("key")
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), k...), '"', ':')
			if dst, err = appendValue(dst, v[k], depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, form("type of value")
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) ([]byte, error) {
	if n > MaxInt || n < -MaxInt {
		return nil, form("integer out of range")
	}
	return strconv.AppendInt(dst, n, 10), nil
}

const hexDigits = "0123456789abcdef"

// AppendString appends a string. It must be UTF-8, which lone surrogates are not.
func AppendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, form("string is not UTF-8")
	}
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		if e := escapeOf(c); e != 0 {
			dst = append(dst, '\\', e)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"'), nil
}

// escapeOf is the letter of a two-character escape, or 0 (RFC 8785 §3.2.2.2).
func escapeOf(c byte) byte {
	switch c {
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	case '"', '\\':
		return c
	}
	return 0
}

// Scan is [ParseObject] for callers who write the object again themselves and
// compare: it spares doing so twice.
func Scan(b []byte, limit int) (map[string]any, error) {
	return object(scan(b, limit))
}

func object(v any, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, form("not an object")
	}
	return o, nil
}

// Prefix reads the value at the start of b, nested so deep already, and returns
// it with its length. Bytes behind it are the caller's.
func Prefix(b []byte, depth int) (any, int, error) {
	p := parser{b: b}
	v, err := p.value(depth)
	return v, p.i, err
}

func scan(b []byte, limit int) (any, error) {
	if len(b) > limit {
		return nil, form("too long")
	}
	p := parser{b: b}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.i != len(b) {
		return nil, form("bytes after the value at " + strconv.Itoa(p.i))
	}
	return v, nil
}

// Parse reads the one form of a value of at most limit bytes.
func Parse(b []byte, limit int) (any, error) {
	v, err := scan(b, limit)
	if err != nil {
		return nil, err
	}
	// The parser takes one form only; writing it again is the proof.
	again, err := Append(make([]byte, 0, len(b)), v)
	if err != nil || !bytes.Equal(again, b) {
		return nil, form("not the canonical bytes")
	}
	return v, nil
}

// ParseObject is [Parse] for objects.
func ParseObject(b []byte, limit int) (map[string]any, error) {
	return object(Parse(b, limit))
}

type parser struct {
	b []byte
	i int
}

func (p *parser) fail(what string) error { return form(what + " at " + strconv.Itoa(p.i)) }

func (p *parser) take(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) word(w string) bool {
	if bytes.HasPrefix(p.b[p.i:], []byte(w)) {
		p.i += len(w)
		return true
	}
	return false
}

func (p *parser) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, p.fail("nested too deep")
	}
	if p.i >= len(p.b) {
		return nil, p.fail("end of input")
	}
	switch c := p.b[p.i]; {
	case c == '"':
		return p.str()
	case c == '{':
		return p.object(depth)
	case c == '[':
		p.i++
		out := []any{}
		for first := true; ; first = false {
			if p.take(']') {
				return out, nil
			}
			if !first && !p.take(',') {
				return nil, p.fail("array")
			}
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	case p.word("true"):
		return true, nil
	case p.word("false"):
		return false, nil
	}
	return nil, p.fail("value")
}

func (p *parser) object(depth int) (any, error) {
	p.i++
	out := map[string]any{}
	last := ""
	for first := true; ; first = false {
		if p.take('}') {
			return out, nil
		}
		if !first && !p.take(',') {
			return nil, p.fail("object")
		}
		k, err := p.str()
		if err != nil {
			return nil, err
		}
		if !ValidKey(k) || k <= last {
			return nil, p.fail("key")
		}
		last = k
		if !p.take(':') {
			return nil, p.fail("object")
		}
		if out[k], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
}

func (p *parser) integer() (any, error) {
	start := p.i
	p.take('-')
	digits := p.i
	for p.i < len(p.b) && p.b[p.i] >= '0' && p.b[p.i] <= '9' {
		p.i++
	}
	s := string(p.b[start:p.i])
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || p.i == digits || n > MaxInt || n < -MaxInt || s != strconv.FormatInt(n, 10) {
		return nil, p.fail("integer")
	}
	return n, nil
}

func (p *parser) str() (string, error) {
	if !p.take('"') {
		return "", p.fail("string")
	}
	var out []byte
	start := p.i
	for p.i < len(p.b) {
		c := p.b[p.i]
		switch {
		case c == '"':
			raw := p.b[start:p.i]
			p.i++
			if out != nil {
				raw = append(out, raw...)
			}
			if !utf8.Valid(raw) {
				return "", p.fail("string is not UTF-8")
			}
			return string(raw), nil
		case c < 0x20:
			return "", p.fail("control character")
		case c != '\\':
			p.i++
		default:
			out = append(out, p.b[start:p.i]...)
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = append(out, r)
			start = p.i
		}
	}
	return "", p.fail("end of string")
}

// escape reads the escapes that a canonical string can hold.
func (p *parser) escape() (byte, error) {
	rest := p.b[p.i+1:]
	if len(rest) >= 5 && string(rest[:3]) == "u00" && (rest[3] == '0' || rest[3] == '1') {
		if lo := bytes.IndexByte([]byte(hexDigits), rest[4]); lo >= 0 {
			if c := (rest[3]-'0')<<4 | byte(lo); escapeOf(c) == 0 {
				p.i += 6
				return c, nil
			}
		}
	}
	if len(rest) >= 1 {
		for _, c := range []byte("\b\t\n\f\r\"\\") {
			if rest[0] == escapeOf(c) {
				p.i += 2
				return c, nil
			}
		}
	}
	return 0, p.fail("escape")
}

// Fits reports whether an unsigned integer can be written.
func Fits(n uint64) bool { return n <= MaxInt }
