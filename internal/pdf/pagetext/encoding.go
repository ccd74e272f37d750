package pagetext

import (
	"strconv"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/pdf"
)

// The upper halves of the encodings of simple fonts (ISO 32000-2 Annex D); a
// space stands for undefined.
const (
	winAnsiUpper = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ" // 80 to 9F, Latin-1 follows
	macUpper     = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ"
	stdA1        = "¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ –†‡· ¶•‚„”»…‰ ¿ `´ˆ˜¯˘˙¨ ˚¸ ˝˛ˇ—                Æ ª    ŁØŒº     æ   ı  łøœß"
)

type encoding [256]string

func encodingOf(name pdf.Name) *encoding {
	var e encoding
	for c := 0x20; c < 0x7f; c++ {
		e[c] = string(rune(c))
	}
	fill := func(from int, s string) {
		for _, r := range s {
			if r != ' ' && from < 256 {
				e[from] = string(r)
			}
			from++
		}
	}
	switch name {
	case "MacRomanEncoding":
		fill(0x80, macUpper)
	case "StandardEncoding":
		e[0x27], e[0x60] = "’", "‘"
		fill(0xa1, stdA1)
	default: // WinAnsiEncoding, and what readers assume where nothing is said
		fill(0x80, winAnsiUpper)
		for c := 0xa0; c < 256; c++ {
			e[c] = string(rune(c))
		}
	}
	return &e
}

// glyphNames lists names in the order of the runes in glyphRunes.
const (
	glyphNames = "space exclam quotedbl numbersign dollar percent ampersand quotesingle parenleft parenright asterisk plus comma hyphen period slash " +
		"zero one two three four five six seven eight nine colon semicolon less equal greater question at " +
		"bracketleft backslash bracketright asciicircum underscore grave braceleft bar braceright asciitilde " +
		"exclamdown cent sterling currency yen brokenbar section dieresis copyright ordfeminine guillemotleft logicalnot registered macron degree " +
		"plusminus twosuperior threesuperior acute mu paragraph periodcentered cedilla onesuperior ordmasculine guillemotright onequarter onehalf " +
		"threequarters questiondown Agrave Aacute Acircumflex Atilde Adieresis Aring AE Ccedilla Egrave Eacute Ecircumflex Edieresis Igrave Iacute " +
		"Icircumflex Idieresis Eth Ntilde Ograve Oacute Ocircumflex Otilde Odieresis multiply Oslash Ugrave Uacute Ucircumflex Udieresis Yacute " +
		"Thorn germandbls agrave aacute acircumflex atilde adieresis aring ae ccedilla egrave eacute ecircumflex edieresis igrave iacute icircumflex " +
		"idieresis eth ntilde ograve oacute ocircumflex otilde odieresis divide oslash ugrave uacute ucircumflex udieresis yacute thorn ydieresis " +
		"Euro quotesinglbase florin quotedblbase ellipsis dagger daggerdbl circumflex perthousand Scaron guilsinglleft OE Zcaron quoteleft quoteright " +
		"quotedblleft quotedblright bullet endash emdash tilde trademark scaron guilsinglright oe zcaron Ydieresis fi fl ff ffi ffl Lslash lslash " +
		"dotlessi fraction minus caron breve dotaccent ring ogonek hungarumlaut nbspace sfthyphen middot"
	glyphRunes = " !\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~¡¢£¤¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ" +
		"€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸﬁﬂﬀﬃﬄŁłı⁄−ˇ˘˙˚˛˝\u00a0\u00ad·"
)

var glyphTable = sync.OnceValue(func() map[string]rune {
	m := make(map[string]rune)
	runes := []rune(glyphRunes)
	for i, n := range strings.Fields(glyphNames) {
		m[n] = runes[i]
	}
	return m
})

// glyphText returns the text of a glyph name by the rules of the Adobe Glyph
// List: what follows a full stop is a variant, underscores join ligatures,
// uniXXXX and uXXXXXX spell code points.
func glyphText(name string) string {
	name, _, _ = strings.Cut(name, ".")
	var out strings.Builder
	for _, part := range strings.Split(name, "_") {
		if r, ok := glyphTable()[part]; ok {
			out.WriteRune(r)
			continue
		}
		switch {
		case len(part) == 1:
			out.WriteString(part)
		case strings.HasPrefix(part, "uni") && len(part) >= 7:
			for h := part[3:]; len(h) >= 4; h = h[4:] {
				if v, err := strconv.ParseUint(h[:4], 16, 16); err == nil {
					out.WriteRune(rune(v))
				}
			}
		case part != "" && part[0] == 'u' && len(part) >= 5 && len(part) <= 7:
			if v, err := strconv.ParseUint(part[1:], 16, 21); err == nil {
				out.WriteRune(rune(v))
			}
		}
	}
	return out.String()
}

// kangxi are the ideographs of U+2F00 to U+2FD5, the radicals, which some
// writers of /ToUnicode confuse with them.
const kangxi = "一丨丶丿乙亅二亠人儿入八冂冖冫几凵刀力勹匕匚匸十卜卩厂厶又口囗土士夂夊夕大女子宀寸小尢尸屮山巛工己巾干幺广廴廾弋弓彐彡彳心戈戶手支攴文斗斤方无日曰月木欠止歹殳毋比毛氏气水火爪父爻爿片牙牛犬玄玉瓜瓦甘生用田疋疒癶白皮皿目矛矢石示禸禾穴立竹米糸缶网羊羽老而耒耳聿肉臣自至臼舌舛舟艮色艸虍虫血行衣襾見角言谷豆豕豸貝赤走足身車辛辰辵邑酉釆里金長門阜隶隹雨靑非面革韋韭音頁風飛食首香馬骨高髟鬥鬯鬲鬼魚鳥鹵鹿麥麻黃黍黑黹黽鼎鼓鼠鼻齊齒龍龜龠"

var radicals = sync.OnceValue(func() []rune { return []rune(kangxi) })

// fold makes runes equal that look the same on paper: full-width forms, radicals,
// kinds of space.
func fold(r rune) rune {
	switch {
	case r >= 0x2f00 && r <= 0x2fd5:
		return radicals()[r-0x2f00]
	case r >= 0xff01 && r <= 0xff5e:
		return r - 0xff01 + '!'
	case r == 0x3000 || r == 0xa0 || r >= 0x2000 && r <= 0x200a || r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0x2010 || r == 0x2011:
		return '-'
	}
	return r
}

// ligatures are spelled out, as people type them.
var ligatures = map[rune]string{'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl"}

// foldText folds every rune of s.
func foldText(s string) []rune {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if l, ok := ligatures[r]; ok {
			out = append(out, []rune(l)...)
		} else if r != 0xad && r != 0x200b && r != 0xfeff {
			out = append(out, fold(r))
		}
	}
	return out
}
