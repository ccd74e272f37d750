package typeset

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The advance widths of Helvetica and Helvetica-Bold from space to tilde
// (Adobe Core 14 font metrics), per thousand.
var (
	helvetica = [95]int{
		278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
		556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
		667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556,
		556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584}
	helveticaBold = [95]int{
		278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556,
		556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778,
		667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611,
		611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584}
)

func latin(r rune) bool { return r >= ' ' && r <= '~' }

// geta (〓) stands for a character that no standard font has, as printers did.
const geta = '〓'

// Settable reports whether every character of s is in a standard font. Others
// are set as 〓. Of the basic plane all is taken to be there.
func Settable(s string) bool {
	for _, r := range s {
		if fontOf(r) == "" {
			return false
		}
	}
	return true
}

// fontOf is the font of a character, "" if no standard font has it.
func fontOf(r rune) Font {
	switch {
	case latin(r):
		return Helvetica
	case r <= 0xffff, strings.ContainsRune(planeGB, r):
		return Song
	case strings.ContainsRune(planeCNS, r):
		return Sung
	case strings.ContainsRune(planeJapan, r):
		return Heisei
	}
	return ""
}

// Width is the advance of one character in units of the font size.
func Width(r rune, bold bool) float64 {
	switch {
	case !latin(r):
		return 1
	case bold:
		return float64(helveticaBold[r-' ']) / 1000
	}
	return float64(helvetica[r-' ']) / 1000
}

// Measure is the width of a line of text at a size.
func Measure(s string, size float64, bold bool) float64 {
	w := 0.0
	for _, r := range s {
		w += Width(r, bold)
	}
	return w * size
}

// Printable reports whether s can be set: UTF-8, without control characters and
// characters that a reader would have to reorder or join.
func Printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f ||
			r >= 0xe000 && r <= 0xf8ff || r >= 0xfe00 && r <= 0xfe0f || r == 0xfeff || r >= 0xfff0 && r <= 0xffff || r >= 0xe0000 {
			return false
		}
	}
	return true
}

// Text sets one line, its left end and base line at x, y.
func (p *Page) Text(x, y, size float64, s string) {
	p.TextMatrix([6]float64{1, 0, 0, 1, x, y}, size, s, false)
}

// BoldText is Text with Latin letters in bold.
func (p *Page) BoldText(x, y, size float64, s string) {
	p.TextMatrix([6]float64{1, 0, 0, 1, x, y}, size, s, true)
}

// TextMatrix sets one line under a text matrix (ISO 32000-1 9.4.2).
func (p *Page) TextMatrix(m [6]float64, size float64, s string, bold bool) {
	p.Op("BT")
	p.Op("Tm", m[:]...)
	for _, run := range runs(s) {
		font := run.font
		if bold && font == Helvetica {
			font = Bold
		}
		p.fonts[font] = true
		fmt.Fprintf(&p.b, "/%s %s Tf\n", font, Num(size))
		if run.font == Helvetica {
			fmt.Fprintf(&p.b, "%s Tj\n", literal(run.text))
		} else {
			fmt.Fprintf(&p.b, "<%s> Tj\n", utf16Hex(run.text))
		}
	}
	p.Op("ET")
}

// A run is a part of a line in one font.
type run struct {
	font Font
	text string
}

func runs(s string) []run {
	var out []run
	for _, r := range s {
		font := fontOf(r)
		if font == "" {
			font, r = Song, geta
		}
		if n := len(out); n > 0 && out[n-1].font == font {
			out[n-1].text += string(r)
			continue
		}
		out = append(out, run{font, string(r)})
	}
	return out
}

func utf16Hex(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String()
}

func literal(s string) string {
	return "(" + strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(s) + ")"
}

// Wrap breaks a paragraph into lines of a width. Chinese text breaks between
// any two characters but before closing and after opening punctuation; Latin
// words stay whole unless one is longer than a line.
func Wrap(s string, size, width float64) []string {
	var lines []string
	line, lineW := "", 0.0
	flush := func() {
		lines = append(lines, strings.TrimRight(line, " "))
		line, lineW = "", 0
	}
	for _, word := range words(s) {
		w := Measure(word, size, false)
		if lineW+w > width && line != "" {
			flush()
			word = strings.TrimLeft(word, " ")
			w = Measure(word, size, false)
		}
		for w > width { // a word longer than a line
			cut, cutW := 0, 0.0
			for i, r := range word {
				if cutW+Width(r, false)*size > width && i > 0 {
					break
				}
				cutW += Width(r, false) * size
				cut = i + utf8.RuneLen(r)
			}
			line = word[:cut]
			flush()
			word = word[cut:]
			w = Measure(word, size, false)
		}
		line, lineW = line+word, lineW+w
	}
	if line != "" {
		flush()
	}
	return lines
}

const (
	noStart = "，。、；：？！）》」』】〕〉”’％·…—,.;:?!)]}%"
	noEnd   = "（《「『【〔〈“‘([{"
)

// words cuts a paragraph at every place where a line may end.
func words(s string) []string {
	var out []string
	cur := ""
	var prev rune
	for _, r := range s {
		split := cur != ""
		switch {
		case latin(r) && latin(prev):
			split = split && prev == ' ' && r != ' '
		case strings.ContainsRune(noStart, r), strings.ContainsRune(noEnd, prev):
			split = false
		}
		if split {
			out, cur = append(out, cur), ""
		}
		cur += string(r)
		prev = r
	}
	if cur != "" {
		out = append(out, cur)
	}
	return out
}
