package sms

import (
	"fmt"
)

// An Encoding is how the handset receives a text.
type Encoding string

// The encodings of [Segments].
const (
	GSM7  Encoding = "gsm7"  // international, 7 bits a character
	UCS2  Encoding = "ucs2"  // 16 bits a UTF-16 unit
	Voice Encoding = "voice" // digits read out
)

// Segments is how long a text is and what it costs.
type Segments struct {
	Encoding Encoding
	Length   int // UTF-16 units, or GSM-7 septets
	Units    int // billed messages, 1 or more
}

// maxDomestic is the most UTF-16 units of one domestic text, signature included.
const maxDomestic = 500

// Region tells domestic numbers (+86) from all others: they are priced, routed
// and counted apart (D15).
type Region string

// The regions of a number.
const (
	Domestic      Region = "cn"
	International Region = "intl"
)

// Regions is Domestic, and International too for a gateway that reaches abroad.
func Regions(abroad bool) []Region {
	if abroad {
		return []Region{Domestic, International}
	}
	return []Region{Domestic}
}

// Count returns what a text to a domestic number costs: 【signature】 and body
// together, in UTF-16 units; 70 fit one message, 67 each part of a longer one,
// and more than 500 are refused with [ErrTooLong]. A voice code costs 1.
//
// Texts to other numbers are counted by [CountInternational].
func Count(k Kind, signature, body string) (Segments, error) {
	if !k.valid() {
		return Segments{}, ErrKind
	}
	if k == VoiceOTP {
		return Segments{Encoding: Voice, Length: utf16Len(body), Units: 1}, nil
	}
	n := utf16Len(body)
	if signature != "" {
		n += utf16Len(signature) + 2 // the brackets
	}
	if n > maxDomestic {
		return Segments{}, fmt.Errorf("%w: %d units", ErrTooLong, n)
	}
	return Segments{Encoding: UCS2, Length: n, Units: parts(n, 70, 67)}, nil
}

// CountInternational returns what a text to a number outside +86 costs. In
// GSM-7, 160 septets fit one message and 153 each part of a longer one; the
// characters | ^ € { } [ ] ~ \ take two and never straddle two parts. Any other
// character makes it UCS-2: 70 and 67 UTF-16 units, a surrogate pair never
// split.
func CountInternational(k Kind, text string) (Segments, error) {
	if !k.valid() {
		return Segments{}, ErrKind
	}
	if k == VoiceOTP {
		return Segments{Encoding: Voice, Length: utf16Len(text), Units: 1}, nil
	}
	seg := Segments{Encoding: GSM7}
	single, part, width := 160, 153, gsmWidth
	for _, r := range text {
		if gsmWidth(r) == 0 {
			seg.Encoding = UCS2
			single, part, width = 70, 67, utf16Width
			break
		}
	}
	units, room := 1, part
	for _, r := range text {
		w := width(r)
		seg.Length += w
		if w > room {
			units, room = units+1, part
		}
		room -= w
	}
	if seg.Length <= single {
		units = 1
	}
	seg.Units = units
	if seg.Units > 255 { // the part number is one byte (3GPP TS 23.040 §9.2.3.24.1)
		return Segments{}, fmt.Errorf("%w: %d parts", ErrTooLong, units)
	}
	return seg, nil
}

func parts(n, single, part int) int {
	if n <= single {
		return 1
	}
	return (n + part - 1) / part
}

func utf16Width(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}

func utf16Len(s string) int {
	n := 0
	for _, r := range s { // a bad byte counts as the U+FFFD it is sent as
		n += utf16Width(r)
	}
	return n
}

// gsmWidth is the number of septets of r in the default alphabet of 3GPP TS
// 23.038 §6.2.1, 2 for its extension table, 0 if it is in neither.
func gsmWidth(r rune) int {
	switch {
	case r == '|' || r == '^' || r == '€' || r == '{' || r == '}' || r == '[' || r == ']' || r == '~' || r == '\\' || r == '\f':
		return 2
	case r == '`':
		return 0
	case r >= ' ' && r <= 'z', r == '\n', r == '\r':
		return 1
	}
	for _, c := range "£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà" {
		if r == c {
			return 1
		}
	}
	return 0
}
