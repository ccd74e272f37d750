package privacy

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// compound lists the surnames of two characters (复姓) still in use.
var compound = func() map[string]bool {
	m := map[string]bool{}
	for _, s := range strings.Fields(`欧阳 太史 端木 上官 司马 东方 独孤 南宫 万俟 闻人 夏侯 诸葛 尉迟 公羊 赫连 澹台 皇甫
		宗政 濮阳 公冶 太叔 申屠 公孙 慕容 仲孙 钟离 长孙 宇文 司徒 鲜于 司空 闾丘 子车 亓官 司寇 巫马 公西 颛孙
		壤驷 公良 漆雕 乐正 宰父 谷梁 拓跋 夹谷 轩辕 令狐 段干 百里 呼延 东郭 南门 羊舌 微生 公户 公玉 公仪 梁丘
		公仲 公上 公门 公山 公坚 左丘 公伯 西门 公祖 第五 公乘 贯丘 公皙 南荣 东里 东宫 仲长 子书 子桑 即墨 达奚
		褚师 纳兰 歐陽 諸葛 東方 獨孤 南宮 聞人 尉遲 赫連 澹臺 濮陽 公孫 鐘離 長孫 鮮于 司馬 上官`) {
		m[s] = true
	}
	return m
}()

// maskName shows the surname, and of three or more characters after a simple
// surname the last one: 张*, 张*丰, 欧阳**. Any other script shows its first
// letter only, and not how long it is.
func maskName(s string) string {
	r := []rune(s)
	for _, c := range r {
		if !unicode.Is(unicode.Han, c) {
			if len(r) == 1 {
				return "*"
			}
			return string(r[0]) + "***"
		}
	}
	switch n := len(r); {
	case n <= 1:
		return "*"
	case n > 2 && compound[string(r[:2])]:
		return string(r[:2]) + stars(n-2)
	case n == 2:
		return string(r[0]) + "*"
	default:
		return string(r[0]) + stars(n-2) + string(r[n-1])
	}
}

// maskPhone shows 3 and 4 digits of a mainland number, the country code and 2
// digits of any other.
func maskPhone(s string) string {
	num, foreign := strings.CutPrefix(s, "+")
	if !foreign && len(s) == 11 {
		return maskEnds(s, 3, 4)
	}
	cc := countryCode(num)
	if len(num) < cc+4 {
		return stars(utf8.RuneCountInString(s))
	}
	return "+" + num[:cc] + stars(len(num)-cc-2) + num[len(num)-2:]
}

// countryCode is the length of an E.164 country code.
func countryCode(num string) int {
	if num == "" {
		return 0
	}
	if num[0] == '1' || num[0] == '7' {
		return 1
	}
	const two = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	if len(num) >= 2 && strings.Contains(two, " "+num[:2]+" ") {
		return 2
	}
	return min(3, len(num))
}

// maskEmail shows the first character and the domain.
func maskEmail(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" {
		return "***"
	}
	if utf8.RuneCountInString(local) == 1 {
		return "***@" + domain
	}
	_, n := utf8.DecodeRuneInString(local)
	return local[:n] + "***@" + domain
}

// maskID shows 3 and 4 places of a resident number, the ends of a longer other
// one.
func maskID(s string) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 18:
		return maskEnds(s, 3, 4)
	case n >= 7:
		return maskEnds(s, 1, 1)
	default:
		return stars(n)
	}
}

func maskCard(s string) string {
	if len(s) < 12 {
		return "****"
	}
	return "**** " + s[len(s)-4:]
}

// maskIP shows the /24 or /48.
func maskIP(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return "***"
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "***"
	}
	return p.String()
}

// maskAddress shows two characters of eight or more.
func maskAddress(s string) string {
	r := []rune(s)
	if len(r) < 8 {
		return "****"
	}
	return string(r[:2]) + "****"
}

func maskAll(s string) string {
	if s == "" {
		return ""
	}
	return "***"
}

// maskEnds keeps head and tail characters, and nothing if that were most.
func maskEnds(s string, head, tail int) string {
	r := []rune(s)
	if len(r) <= head+tail {
		return stars(len(r))
	}
	return string(r[:head]) + stars(len(r)-head-tail) + string(r[len(r)-tail:])
}

func stars(n int) string { return strings.Repeat("*", max(n, 0)) }
