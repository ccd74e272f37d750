package pdf

import (
	"errors"
	"math"
	"strconv"
)

// errShort says that a token reaches the end of the bytes at hand and might go
// on behind them.
var errShort = errors.New("unexpected end")

const (
	classRegular = iota
	classSpace
	classDelim
)

var class = func() (t [256]byte) {
	for _, c := range "\x00\t\n\f\r " {
		t[c] = classSpace
	}
	for _, c := range "()<>[]{}/%" {
		t[c] = classDelim
	}
	return t
}()

func isSpace(c byte) bool { return class[c] == classSpace }
func isDigit(c byte) bool { return c-'0' < 10 }

// skipSpace returns the position of the first byte from i on that is neither
// white space nor part of a comment; len(b) if there is none.
func skipSpace(b []byte, i int) int {
	for i < len(b) {
		switch {
		case isSpace(b[i]):
			i++
		case b[i] == '%':
			for i < len(b) && b[i] != '\n' && b[i] != '\r' {
				i++
			}
		default:
			return i
		}
	}
	return i
}

// regularEnd returns the end of the run of regular characters at i.
func regularEnd(b []byte, i int) int {
	for i < len(b) && class[b[i]] == classRegular {
		i++
	}
	return i
}

// token kinds of the scanner.
type kind uint8

const (
	kEOF kind = iota
	kInt
	kReal
	kName
	kString
	kHex
	kArrayOpen
	kArrayClose
	kDictOpen
	kDictClose
	kRef     // n g R
	kKeyword // true, false, null, obj, stream, operators, and junk
)

// next finds the token at or after i: its kind, start and end. With whole set
// b ends where the text ends; otherwise a token that touches the end of b is
// errShort.
func next(b []byte, i int, whole bool) (k kind, start, end int, err error) {
	i = skipSpace(b, i)
	if i >= len(b) {
		if whole {
			return kEOF, i, i, nil
		}
		return 0, i, i, errShort
	}
	start = i
	switch c := b[i]; c {
	case '[':
		return kArrayOpen, i, i + 1, nil
	case ']':
		return kArrayClose, i, i + 1, nil
	case '{', '}', ')':
		return kKeyword, i, i + 1, nil
	case '(':
		end = literalEnd(b, i)
		if end < 0 {
			return 0, i, i, errShort
		}
		return kString, i, end, nil
	case '<':
		if i+1 >= len(b) {
			return 0, i, i, errShort
		}
		if b[i+1] == '<' {
			return kDictOpen, i, i + 2, nil
		}
		for end = i + 1; end < len(b); end++ {
			if b[end] == '>' {
				return kHex, i, end + 1, nil
			}
		}
		return 0, i, i, errShort
	case '>':
		if i+1 < len(b) && b[i+1] == '>' {
			return kDictClose, i, i + 2, nil
		}
		if i+1 >= len(b) && !whole {
			return 0, i, i, errShort
		}
		return kKeyword, i, i + 1, nil
	case '/':
		end = regularEnd(b, i+1)
		if end == len(b) && !whole {
			return 0, i, i, errShort
		}
		return kName, i, end, nil
	}
	end = regularEnd(b, i)
	if end == len(b) && !whole {
		return 0, i, i, errShort
	}
	k = numberKind(b[start:end])
	if k != kInt || !isDigit(b[start]) {
		return k, start, end, nil
	}
	refEnd, err := refTail(b, end, whole)
	if err != nil {
		return 0, start, end, err
	}
	if refEnd > 0 {
		return kRef, start, refEnd, nil
	}
	return k, start, end, nil
}

// literalEnd returns the end of the literal string opening at i, or -1.
func literalEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// numberKind classifies a run of regular characters.
func numberKind(t []byte) kind {
	i := 0
	for i < len(t) && (t[i] == '+' || t[i] == '-') { // "--5" is seen in the wild
		i++
	}
	digits, dots := 0, 0
	for ; i < len(t); i++ {
		switch {
		case isDigit(t[i]):
			digits++
		case t[i] == '.' && dots == 0:
			dots++
		case t[i] == '-' && digits > 0: // "12.3-4": read as 12.3 by everybody
			return kReal
		default:
			return kKeyword
		}
	}
	switch {
	case digits == 0 && dots == 0:
		return kKeyword
	case dots > 0:
		return kReal
	}
	return kInt
}

// refTail looks for "g R" after an integer that ends at i and returns the end
// of the R, or 0.
func refTail(b []byte, i int, whole bool) (int, error) {
	short := func() (int, error) {
		if whole {
			return 0, nil
		}
		return 0, errShort
	}
	j := skipSpace(b, i)
	if j >= len(b) {
		return short()
	}
	if j == i {
		return 0, nil
	}
	g := j
	for j < len(b) && isDigit(b[j]) {
		j++
	}
	if j == g || j-g > 5 {
		return 0, nil
	}
	if j >= len(b) {
		return short()
	}
	if class[b[j]] != classSpace && b[j] != '%' {
		return 0, nil
	}
	j = skipSpace(b, j)
	if j >= len(b) {
		return short()
	}
	if b[j] != 'R' {
		return 0, nil
	}
	if j+1 >= len(b) {
		if whole {
			return j + 1, nil
		}
		return 0, errShort
	}
	if class[b[j+1]] == classRegular {
		return 0, nil
	}
	return j + 1, nil
}

// skipValue returns the extent of the object at or after i. Nesting beyond
// depth is a LIMIT error.
func skipValue(b []byte, i int, whole bool, depth int) (start, end int, err error) {
	k, start, end, err := next(b, i, whole)
	if err != nil {
		return start, end, err
	}
	switch k {
	case kArrayOpen, kDictOpen:
		end, err = skipComposite(b, end, k, whole, depth)
		return start, end, err
	case kArrayClose, kDictClose, kEOF:
		return start, start, errNoValue
	}
	return start, end, nil
}

var (
	errNoValue  = errors.New("value missing")
	errUnclosed = errors.New("unclosed array or dictionary")
	errNesting  = errors.New("nested too deeply")
)

// skipComposite returns the end of the array or dictionary whose opening token
// ends at i.
func skipComposite(b []byte, i int, open kind, whole bool, depth int) (int, error) {
	var small [128]kind
	stack := append(small[:0], open)
	for {
		k, s, e, err := next(b, i, whole)
		if err != nil {
			return s, err
		}
		switch k {
		case kArrayOpen, kDictOpen:
			if len(stack) >= depth {
				return s, errNesting
			}
			stack = append(stack, k)
		case kArrayClose, kDictClose:
			want := kArrayOpen
			if k == kDictClose {
				want = kDictOpen
			}
			if stack[len(stack)-1] != want {
				return s, errUnclosed
			}
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return e, nil
			}
		case kKeyword:
			switch string(b[s:e]) {
			case "endobj", "stream", "endstream", "obj", "xref", "trailer", "startxref":
				return s, errUnclosed
			}
		case kEOF:
			return s, errUnclosed
		}
		i = e
	}
}

// parseInt reads digits with optional signs; ok is false beyond int64.
func parseInt(t []byte) (int64, bool) {
	neg := false
	i := 0
	for i < len(t) && (t[i] == '+' || t[i] == '-') {
		neg = neg || t[i] == '-'
		i++
	}
	var n uint64
	for ; i < len(t); i++ {
		d := uint64(t[i] - '0')
		if d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// parseReal reads a number as PDF readers do: signs in front, digits behind a
// second sign ignored.
func parseReal(t []byte) float64 {
	neg := false
	i := 0
	for i < len(t) && (t[i] == '+' || t[i] == '-') {
		neg = neg || t[i] == '-'
		i++
	}
	j := i
	for j < len(t) && (isDigit(t[j]) || t[j] == '.') {
		j++
	}
	f, err := strconv.ParseFloat(string(t[i:j]), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0
	}
	if math.IsInf(f, 0) {
		f = math.MaxFloat64
	}
	if neg {
		return -f
	}
	return f
}

// parseNumber reads a token of kind kInt or kReal.
func parseNumber(t []byte, k kind) float64 {
	if k == kInt {
		if n, ok := parseInt(t); ok {
			return float64(n)
		}
	}
	return parseReal(t)
}

func unhex(c byte) (byte, bool) {
	switch {
	case c-'0' < 10:
		return c - '0', true
	case c-'a' < 6:
		return c - 'a' + 10, true
	case c-'A' < 6:
		return c - 'A' + 10, true
	}
	return 0, false
}

// decodeName decodes the text of a name token without its slash.
func decodeName(t []byte) Name {
	hash := false
	for _, c := range t {
		if c == '#' {
			hash = true
			break
		}
	}
	if !hash {
		return Name(t)
	}
	out := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		if t[i] == '#' && i+2 < len(t) {
			hi, ok1 := unhex(t[i+1])
			lo, ok2 := unhex(t[i+2])
			if ok1 && ok2 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, t[i])
	}
	return Name(out)
}

// nameIs reports whether a name token, slash excluded, spells key.
func nameIs(t []byte, key Name) bool {
	if len(t) < len(key) {
		return false
	}
	i := 0
	for k := range len(key) {
		if i >= len(t) {
			return false
		}
		c := t[i]
		i++
		if c == '#' && i+1 < len(t) {
			hi, ok1 := unhex(t[i])
			lo, ok2 := unhex(t[i+1])
			if ok1 && ok2 {
				c = hi<<4 | lo
				i += 2
			}
		}
		if c != key[k] {
			return false
		}
	}
	return i == len(t)
}

func hasHash(t []byte) bool {
	for _, c := range t {
		if c == '#' {
			return true
		}
	}
	return false
}

// decodeLiteral decodes a literal string token, parentheses included.
func decodeLiteral(t []byte) []byte {
	t = t[1 : len(t)-1]
	plain := true
	for _, c := range t {
		if c == '\\' || c == '\r' {
			plain = false
			break
		}
	}
	if plain {
		return append([]byte(nil), t...)
	}
	out := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		c := t[i]
		if c == '\r' { // an end of line in a string is one line feed
			out = append(out, '\n')
			if i+1 < len(t) && t[i+1] == '\n' {
				i++
			}
			continue
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		if i >= len(t) {
			break
		}
		switch c = t[i]; c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case '\n':
		case '\r':
			if i+1 < len(t) && t[i+1] == '\n' {
				i++
			}
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := int(c - '0')
			for k := 0; k < 2 && i+1 < len(t) && t[i+1]-'0' < 8; k++ {
				i++
				n = n<<3 | int(t[i]-'0')
			}
			out = append(out, byte(n))
		default:
			out = append(out, c)
		}
	}
	return out
}

// decodeHex decodes a hex string token, angle brackets included; characters
// that are no digits are skipped, an odd last digit is followed by 0.
func decodeHex(t []byte) []byte {
	out := make([]byte, 0, len(t)/2)
	var hi byte
	half := false
	for _, c := range t[1 : len(t)-1] {
		v, ok := unhex(c)
		if !ok {
			continue
		}
		if half {
			out = append(out, hi<<4|v)
		} else {
			hi = v
		}
		half = !half
	}
	if half {
		out = append(out, hi<<4)
	}
	return out
}
