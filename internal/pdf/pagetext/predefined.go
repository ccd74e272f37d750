package pagetext

import (
	"bytes"
	"compress/flate"
	_ "embed" // the table of GBK
	"io"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/pdf"
)

// predefined returns the CMap of a name that is built into readers (ISO 32000-2
// 9.7.5.2), as far as codes and Unicode go; nil if it is not known here.
func predefined(name pdf.Name) *cmap {
	n := string(name)
	m := &cmap{vertical: strings.HasSuffix(n, "-V")}
	base := strings.TrimSuffix(strings.TrimSuffix(n, "-H"), "-V")
	switch {
	case base == "Identity":
		m.identity = true
		m.spaces = []codespace{{2, 0, 0xffff}}
	case strings.HasPrefix(n, "Uni") && (strings.Contains(n, "UCS2") || strings.Contains(n, "UTF16")):
		m.spaces = []codespace{{2, 0, 0xd7ff}, {4, 0xd800dc00, 0xdbffdfff}, {2, 0xe000, 0xffff}}
		m.unicode = func(c uint32) string {
			if c > 0xffff {
				return string(rune((c>>16-0xd800)<<10 + (c&0xffff - 0xdc00) + 0x10000))
			}
			return string(rune(c))
		}
		m.cids = asciiCIDs(n)
	case strings.HasPrefix(n, "Uni") && strings.Contains(n, "UTF32"):
		m.spaces = []codespace{{4, 0, 0x0010ffff}}
		m.unicode = func(c uint32) string { return string(rune(c)) }
		m.cids = asciiCIDs(n)
	case base == "GBK-EUC" || base == "GBKp-EUC" || base == "GB-EUC" || base == "GBpc-EUC" || base == "GBK2K":
		m.spaces = []codespace{{1, 0, 0x80}, {2, 0x8140, 0xfefe}}
		if base == "GBK2K" {
			m.spaces = append(m.spaces, codespace{4, 0x81308130, 0xfe39fe39})
		}
		m.unicode = gbk
		first := uint32(814) // half-width Latin
		if base == "GBKp-EUC" || base == "GBpc-EUC" {
			first = 1
		}
		m.cids = []cidRange{{0x20, 0x7e, first}}
	default:
		return nil
	}
	return m
}

// asciiCIDs maps ASCII to the proportional Latin that begins each of the
// standard collections; other CIDs matter for widths only and have the default.
func asciiCIDs(name string) []cidRange {
	if strings.HasPrefix(name, "UniJIS") && strings.Contains(name, "HW") {
		return []cidRange{{0x20, 0x7e, 231}}
	}
	return []cidRange{{0x20, 0x7e, 1}}
}

// gbkDeflated is the two-byte plane of GBK, lead bytes 81 to FE and trail bytes
// 40 to FE, as differences of UTF-16BE units, 0 standing for undefined.
//
//go:embed gbk.deflate
var gbkDeflated []byte

const gbkRow = 0xfe - 0x40 + 1

var gbkTable = sync.OnceValue(func() []uint16 {
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(gbkDeflated)))
	if err != nil {
		return nil // the embedded data is sound: a test reads it
	}
	t := make([]uint16, len(b)/2)
	var at uint16
	for i := range t {
		at += uint16(b[2*i])<<8 | uint16(b[2*i+1])
		t[i] = at
	}
	return t
})

func gbk(c uint32) string {
	if c < 0x80 {
		return string(rune(c))
	}
	hi, lo := int(c>>8), int(c&0xff)
	t := gbkTable()
	if i := (hi-0x81)*gbkRow + lo - 0x40; c <= 0xffff && hi >= 0x81 && lo >= 0x40 && i < len(t) && t[i] != 0 {
		return string(rune(t[i]))
	}
	return ""
}
