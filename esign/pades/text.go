package pades

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"

	"github.com/countersign/countersign/internal/typeset"
)

// Text is set in two fonts that every reader has: Helvetica for Latin-1, and
// for the rest the standard CID font STSong-Light with UniGB-UTF16-H (W13).
const (
	latinFont = "CSHelv"
	hanFont   = "CSSong"
)

// advance returns the width of c in thousandths of the font size.
func advance(c rune) float64 {
	if c > 0x7e && isLatin(c) {
		return 556
	}
	return 1000 * typeset.Width(c, false)
}

// isLatin reports whether Helvetica in WinAnsiEncoding has c at its own code.
func isLatin(c rune) bool {
	return c >= 0x20 && c <= 0x7e || c >= 0xa1 && c <= 0xff && c != 0xad
}

func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, c := range s {
		w += advance(c)
	}
	return w * size / 1000
}

// textBox is text to be set into a rectangle whose lower left corner is 0, 0.
type textBox struct {
	W, H      float64
	Size      float64 // 0 = fitted
	Align     int     // 0 left, 1 centre, 2 right, as /Q
	Multiline bool    // wraps, and starts at the top; else one line, centred in height
	Color     string  // operators that set the fill colour; "" = black
}

const (
	textPad    = 2.0
	lineFactor = 1.25
	minSize    = 4.0
	maxSize    = 12.0
)

// set returns the content that shows text, and which of the two fonts it uses.
func (b textBox) set(text string) (content []byte, latin, han bool) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ").Replace(text)
	if !b.Multiline {
		text = strings.ReplaceAll(text, "\n", " ")
	}
	size := b.Size
	if size <= 0 {
		size = b.fit(text)
	}
	lines := b.wrap(text, size)
	var out bytes.Buffer
	fmt.Fprintf(&out, "q %s %s %s %s re W n BT", num(1), num(1), num(math.Max(b.W-2, 0)), num(math.Max(b.H-2, 0)))
	if b.Color != "" {
		out.WriteString(" " + b.Color)
	}
	out.WriteByte('\n')
	leading := size * lineFactor
	// The baseline that centres one line: capitals are about 0.72 em high.
	y := b.H/2 - 0.36*size
	if b.Multiline {
		y = b.H - textPad - 0.9*size
	}
	for _, line := range lines {
		x := textPad
		switch b.Align {
		case 1:
			x = (b.W - textWidth(line, size)) / 2
		case 2:
			x = b.W - textPad - textWidth(line, size)
		}
		fmt.Fprintf(&out, "1 0 0 1 %s %s Tm\n", num(x), num(y))
		for _, r := range textRuns(line) {
			if r.han {
				han = true
				fmt.Fprintf(&out, "/%s %s Tf <%X> Tj\n", hanFont, num(size), utf16BE(r.text))
				continue
			}
			latin = true
			fmt.Fprintf(&out, "/%s %s Tf <%X> Tj\n", latinFont, num(size), latin1(r.text))
		}
		y -= leading
	}
	out.WriteString("ET Q")
	return out.Bytes(), latin, han
}

// fit returns the largest size, within reason, at which text fits the box.
func (b textBox) fit(text string) float64 {
	for size := maxSize; size > minSize; size -= 0.5 {
		lines := b.wrap(text, size)
		if float64(len(lines))*size*lineFactor > b.H-textPad && len(lines) > 1 || size*lineFactor > b.H+textPad {
			continue
		}
		wide := 0.0
		for _, l := range lines {
			wide = math.Max(wide, textWidth(l, size))
		}
		if wide <= b.W-2*textPad {
			return size
		}
	}
	return minSize
}

// wrap breaks text into lines: at line feeds, and in a multi-line box at
// spaces and between Chinese characters.
func (b textBox) wrap(text string, size float64) []string {
	paragraphs := strings.Split(text, "\n")
	if !b.Multiline {
		return paragraphs
	}
	room := (b.W - 2*textPad) * 1000 / size
	var lines []string
	for _, p := range paragraphs {
		line, width, brk := []rune(nil), 0.0, -1
		for _, c := range p {
			line = append(line, c)
			width += advance(c)
			if width > room && len(line) > 1 {
				cut := len(line) - 1
				if brk > 0 {
					cut = brk
				}
				lines = append(lines, strings.TrimRight(string(line[:cut]), " "))
				line = []rune(strings.TrimLeft(string(line[cut:]), " "))
				width, brk = 0, -1
				for _, d := range line {
					width += advance(d)
				}
			}
			if c == ' ' || !isLatin(c) {
				brk = len(line)
			}
		}
		lines = append(lines, string(line))
	}
	return lines
}

type textRun struct {
	text string
	han  bool
}

// textRuns splits a line by font.
func textRuns(line string) []textRun {
	var runs []textRun
	for _, c := range line {
		if c < 0x20 {
			continue
		}
		han := !isLatin(c)
		if n := len(runs); n > 0 && runs[n-1].han == han {
			runs[n-1].text += string(c)
			continue
		}
		runs = append(runs, textRun{string(c), han})
	}
	return runs
}

func utf16BE(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

func latin1(s string) []byte {
	var b []byte
	for _, c := range s {
		b = append(b, byte(c))
	}
	return b
}

// num writes a number as content streams want it: no exponent, few digits.
func num(f float64) string {
	if math.Abs(f) < 5e-5 || math.IsNaN(f) || math.IsInf(f, 0) {
		return "0"
	}
	s := fmt.Sprintf("%.4f", f)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
