package pdf

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns a text string: PDFDocEncoding if it can hold s, else UTF-16BE.
func Text(s string) String { return String{B: encodeText(s)} }

// pdfDoc maps the bytes of PDFDocEncoding that are not ISO 8859-1 (ISO 32000-2
// D.3). Undefined ones become U+FFFD.
var pdfDoc = map[byte]rune{
	0x18: 0x02D8, 0x19: 0x02C7, 0x1A: 0x02C6, 0x1B: 0x02D9, 0x1C: 0x02DD, 0x1D: 0x02DB, 0x1E: 0x02DA, 0x1F: 0x02DC,
	0x80: 0x2022, 0x81: 0x2020, 0x82: 0x2021, 0x83: 0x2026, 0x84: 0x2014, 0x85: 0x2013, 0x86: 0x0192, 0x87: 0x2044,
	0x88: 0x2039, 0x89: 0x203A, 0x8A: 0x2212, 0x8B: 0x2030, 0x8C: 0x201E, 0x8D: 0x201C, 0x8E: 0x201D, 0x8F: 0x2018,
	0x90: 0x2019, 0x91: 0x201A, 0x92: 0x2122, 0x93: 0xFB01, 0x94: 0xFB02, 0x95: 0x0141, 0x96: 0x0152, 0x97: 0x0160,
	0x98: 0x0178, 0x99: 0x017D, 0x9A: 0x0131, 0x9B: 0x0142, 0x9C: 0x0153, 0x9D: 0x0161, 0x9E: 0x017E, 0x9F: 0xFFFD,
	0xA0: 0x20AC, 0xAD: 0xFFFD, 0x7F: 0xFFFD,
}

var pdfDocBack = func() map[rune]byte {
	m := make(map[rune]byte)
	for b, r := range pdfDoc {
		if r != 0xFFFD {
			m[r] = b
		}
	}
	return m
}()

// DecodeText returns the text of a text string: UTF-16 with a byte order mark,
// UTF-8 with one, else PDFDocEncoding (ISO 32000-2 7.9.2.2). Escape sequences
// for languages are removed.
func DecodeText(b []byte) string {
	switch {
	case len(b) >= 2 && b[0] == 0xFE && b[1] == 0xFF:
		return stripLanguage(utf16Text(b[2:], 0))
	case len(b) >= 2 && b[0] == 0xFF && b[1] == 0xFE: // not allowed, but seen
		return stripLanguage(utf16Text(b[2:], 1))
	case len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF:
		return stripLanguage(strings.ToValidUTF8(string(b[3:]), "\uFFFD"))
	}
	var out strings.Builder
	for _, c := range b {
		if r, ok := pdfDoc[c]; ok {
			out.WriteRune(r)
		} else {
			out.WriteRune(rune(c))
		}
	}
	return out.String()
}

func utf16Text(b []byte, low int) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = uint16(b[2*i+low])<<8 | uint16(b[2*i+1-low])
	}
	return string(utf16.Decode(u))
}

// stripLanguage removes what stands between two escape characters (ISO 32000-2
// 7.9.2.2).
func stripLanguage(s string) string {
	i := strings.IndexByte(s, 0x1B)
	if i < 0 {
		return s
	}
	var out strings.Builder
	for ; i >= 0; i = strings.IndexByte(s, 0x1B) {
		out.WriteString(s[:i])
		rest := s[i+1:]
		j := strings.IndexByte(rest[:min(len(rest), 17)], 0x1B)
		if j >= 0 {
			rest = rest[j+1:]
		}
		s = rest
	}
	out.WriteString(s)
	return out.String()
}

func encodeText(s string) []byte {
	if b, ok := pdfDocEncode(s); ok && !looksMarked(b) {
		return b
	}
	u := utf16.Encode([]rune(s))
	b := make([]byte, 2, 2+2*len(u))
	b[0], b[1] = 0xFE, 0xFF
	for _, c := range u {
		b = append(b, byte(c>>8), byte(c))
	}
	return b
}

// looksMarked reports whether PDFDocEncoded text would be taken for UTF-16 or UTF-8.
func looksMarked(b []byte) bool {
	s := string(b[:min(3, len(b))])
	return strings.HasPrefix(s, "\xFE\xFF") || strings.HasPrefix(s, "\xFF\xFE") || s == "\xEF\xBB\xBF"
}

// pdfDocEncode encodes s in PDFDocEncoding; ok is false if it cannot.
func pdfDocEncode(s string) (b []byte, ok bool) {
	b = make([]byte, 0, len(s))
	for _, r := range s {
		if c, ok := pdfDocBack[r]; ok {
			b = append(b, c)
			continue
		}
		if r == utf8.RuneError || r > 0xFF || r < 0x18 && r != '\t' && r != '\n' && r != '\r' {
			return nil, false
		}
		if _, special := pdfDoc[byte(r)]; special {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}
