package pagetext

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trueType returns a font file with nothing but a cmap table of one subtable.
func trueType(subtable []byte) []byte {
	b := []byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	b = append(b, "cmap"...)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, 28)
	b = binary.BigEndian.AppendUint32(b, uint32(12+len(subtable)))
	b = append(b, 0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0, 12)
	return append(b, subtable...)
}

func words(v ...uint16) (b []byte) {
	for _, w := range v {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return b
}

func TestTrueTypeCharacterMap(t *testing.T) {
	// Segments 0x41-0x43 by delta, 0x7532 by offset, the last one.
	four := words(4, 50, 0, 6, 0, 0, 0, 0x43, 0x7532, 0xffff, 0, 0x41, 0x7532, 0xffff, 0xffff-0x41+1+10, 0, 1, 0, 4, 0, 77)
	assert.Equal(t, map[uint32]rune{10: 'A', 11: 'B', 12: 'C', 77: '甲'}, glyphRunesOf(trueType(four)))
	twelve := words(12, 0, 0, 28, 0, 0, 0, 1, 2, 0x0bb7, 2, 0x0bb7, 0, 5)
	assert.Equal(t, map[uint32]rune{5: '𠮷'}, glyphRunesOf(trueType(twelve)))
	assert.Nil(t, glyphRunesOf(nil))

	// Overlapping ranges without end.
	const n = 5000
	seg := make([]uint16, 0, 4*n)
	for _, v := range []uint16{0xfffe, 0, 1, 0} {
		for range n {
			seg = append(seg, v)
		}
	}
	hostile := append(words(4, 0, 0, 2*n, 0, 0, 0), words(seg[:n]...)...)
	hostile = append(append(hostile, 0, 0), words(seg[n:]...)...)
	start := time.Now()
	glyphRunesOf(trueType(hostile))
	assert.Less(t, time.Since(start), 5*time.Second)
}

func TestEncodings(t *testing.T) {
	std := encodingOf("StandardEncoding")
	for c, want := range map[int]string{0x27: "’", 0xa1: "¡", 0xb1: "–", 0xd0: "—", 0xe1: "Æ", 0xeb: "º", 0xf5: "ı", 0xfb: "ß", 0xd5: ""} {
		assert.Equal(t, want, std[c], "%x", c)
	}
	mac := encodingOf("MacRomanEncoding")
	for c, want := range map[int]string{0x80: "Ä", 0xca: "\u00a0", 0xd8: "ÿ", 0xf0: "", 0xf1: "Ò", 0xff: "ˇ"} {
		assert.Equal(t, want, mac[c], "%x", c)
	}
	win := encodingOf("WinAnsiEncoding")
	for c, want := range map[int]string{0x80: "€", 0x81: "", 0x9f: "Ÿ", 0xe9: "é", 0x41: "A"} {
		assert.Equal(t, want, win[c], "%x", c)
	}
	require.Len(t, []rune(kangxi), 0xd6)
	assert.Equal(t, '方', fold('⽅'))
	for name, want := range map[string]string{"A": "A", "eacute": "é", "uni4E00": "一", "u20BB7": "𠮷", "f_i": "fi", "A.sc": "A", "g123": "", "sfthyphen": "\u00ad", "middot": "·"} {
		assert.Equal(t, want, glyphText(name), name)
	}
	assert.Equal(t, "甲", gbk(0xbcd7))
	assert.Equal(t, "", gbk(0xfeff))
	assert.Equal(t, "", gbk(0x81308130))
}

func FuzzTrueType(f *testing.F) {
	f.Add(trueType(words(4, 50, 0, 6, 0, 0, 0, 0x43, 0x7532, 0xffff, 0, 0x41, 0x7532, 0xffff, 9, 0, 1, 0, 4, 0, 77)))
	f.Add(trueType(words(12, 0, 0, 28, 0, 0, 0, 1, 2, 0x0bb7, 2, 0x0bb7, 0, 5)))
	f.Fuzz(func(t *testing.T, b []byte) { glyphRunesOf(b) })
}

func FuzzCMap(f *testing.F) {
	f.Add([]byte("1 begincodespacerange <00> <80> <8140> <fefe> endcodespacerange 1 beginbfrange <00> <10> <4e00> <11> <12> [<00> /A] endbfrange"), []byte("\x01\x81\x40"))
	f.Add([]byte("/Identity-H usecmap /WMode 1 def 1 begincidrange <0000> <ffff> 5 endcidrange <00> 1 endcidchar"), []byte("ab"))
	f.Fuzz(func(t *testing.T, b, s []byte) {
		m := parseCMap(b, predefined)
		for len(s) > 0 {
			c, n := m.next(s)
			m.cid(c)
			m.text(c)
			s = s[max(n, 1):]
		}
	})
}
