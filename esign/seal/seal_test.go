package seal_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/seal"
	"github.com/countersign/countersign/internal/pdftest"
)

var update = flag.Bool("update", false, "write testdata anew")

var long = "内蒙古自治区呼伦贝尔市莫力达瓦达斡尔族自治旗尼尔基镇农牧业机械化综合服务专业合作联社有限责任公司"

// arts are drawings that somebody looked at; a change to one is to be looked at
// again.
var arts = map[string]func() ([]byte, error){
	"company": func() ([]byte, error) {
		return seal.Company(seal.CompanySeal{Name: "云杉示例贸易有限公司", Serial: "3101150099887"})
	},
	"contract": func() ([]byte, error) {
		return seal.Company(seal.CompanySeal{Name: "青禾示例（上海）信息技术服务股份有限公司第三分公司", Purpose: "合同专用章", Serial: "3101150099887"})
	},
	"long":      func() ([]byte, error) { return seal.Company(seal.CompanySeal{Name: long, Purpose: "财务专用章"}) },
	"extension": func() ([]byte, error) { return seal.Company(seal.CompanySeal{Name: "𠮷田𨭎业"}) },
	"mixed": func() ([]byte, error) {
		return seal.Company(seal.CompanySeal{Name: "Sample 云杉 Trading Co., Ltd.", Serial: "AB-12345"})
	},
	"name2":     func() ([]byte, error) { return seal.Name(seal.NameSeal{Name: "张三"}) },
	"name3":     func() ([]byte, error) { return seal.Name(seal.NameSeal{Name: "欧阳娜"}) },
	"name8":     func() ([]byte, error) { return seal.Name(seal.NameSeal{Name: "尼格买提·热合曼"}) },
	"namerare":  func() ([]byte, error) { return seal.Name(seal.NameSeal{Name: "𠮷野家"}) },
	"namelatin": func() ([]byte, error) { return seal.Name(seal.NameSeal{Name: "Zoe O'Neill"}) },
	"text": func() ([]byte, error) {
		return seal.Text(seal.TextBox{Lines: []string{"李小龙", "2026-03-01 10:00"}, W: 160, H: 50})
	},
	"textlong": func() ([]byte, error) {
		return seal.Text(seal.TextBox{Lines: []string{"阿卜杜拉·买买提·吐尔逊江·艾合买提江 (Abdulla)", `back\slash`}, W: 160, H: 50, Border: true, Color: &seal.Blue})
	},
	"slice": func() ([]byte, error) {
		all, err := seal.CrossPage(seal.CompanySeal{Name: "云杉示例贸易有限公司"}, 3)
		if err != nil {
			return nil, err
		}
		return all[1], nil
	},
	"hand": func() ([]byte, error) {
		return seal.Hand(seal.HandSignature{Image: scribble(), W: 160, H: 50, Color: &seal.Blue})
	},
	"textrare": func() ([]byte, error) { return seal.Text(seal.TextBox{Lines: []string{"\U0003106c某"}, W: 80, H: 20}) },
}

func TestArt(t *testing.T) {
	for name, draw := range arts {
		t.Run(name, func(t *testing.T) {
			got, err := draw()
			require.NoError(t, err)
			again, err := draw()
			require.NoError(t, err)
			assert.Equal(t, got, again, "the same bytes every time")
			file := filepath.Join("testdata", name+".pdf")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(want, got), "differs from %s: look at both, then -update", file)
			wellFormed(t, got)
		})
	}
}

// scribble is a signature on white paper: a wave with a tail, as PNG.
func scribble() []byte {
	m := image.NewGray(image.Rect(0, 0, 320, 120))
	for i := range m.Pix {
		m.Pix[i] = 250
	}
	for i := range 6000 {
		t := float64(i) / 6000
		x, y := 20+280*t, 60+40*math.Sin(18*t)*(1-t)
		for dy := -2; dy <= 2; dy++ {
			m.SetGray(int(x), int(y)+dy, color.Gray{30})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestCrossPage: the slices side by side are the seal.
func TestCrossPage(t *testing.T) {
	s := seal.CompanySeal{Name: "云杉示例贸易有限公司", Serial: "3101150099887"}
	whole, err := seal.Company(s)
	require.NoError(t, err)
	drawing := func(pdf []byte) string {
		m := regexp.MustCompile(`(?s)stream\n(.*?)\nendstream`).FindSubmatch(pdf)
		require.NotNil(t, m)
		return regexp.MustCompile(`(?m)^1 0 0 1 .* cm\n`).ReplaceAllString(string(m[1]), "")
	}
	for _, n := range []int{2, 5, 21} {
		got, err := seal.CrossPage(s, n)
		require.NoError(t, err)
		require.Len(t, got, n)
		for _, slice := range got {
			wellFormed(t, slice)
			assert.Equal(t, drawing(whole), drawing(slice), "one drawing, seen through another window")
		}
	}
	for _, n := range []int{-1, 0, 1, 22, 501} {
		_, err := seal.CrossPage(s, n)
		require.ErrorIs(t, err, seal.ErrSize, "%d", n)
	}
}

func TestHandRefusals(t *testing.T) {
	good := scribble()
	for name, img := range map[string][]byte{
		"nothing": nil, "junk": []byte("GIF89a"), "cut off": good[:len(good)/2], "too many bytes": make([]byte, 4<<20+1),
		"too many pixels": bytes.Replace(good, []byte("\x00\x00\x01\x40\x00\x00\x00\x78"), []byte("\x00\x01\x00\x00\x00\x01\x00\x00"), 1),
	} {
		_, err := seal.Hand(seal.HandSignature{Image: img, W: 10, H: 10})
		require.ErrorIs(t, err, seal.ErrImage, name)
	}
	_, err := seal.Hand(seal.HandSignature{Image: good})
	require.ErrorIs(t, err, seal.ErrSize)
}

func FuzzHand(f *testing.F) {
	f.Add(scribble())
	f.Fuzz(func(t *testing.T, img []byte) {
		if len(img) > 1<<16 {
			return
		}
		_, _ = seal.Hand(seal.HandSignature{Image: img, W: 10, H: 10})
	})
}

// wellFormed checks the file by what the format says of it: each offset of the
// cross-reference table begins its object, and each stream is as long as told.
func wellFormed(t *testing.T, pdf []byte) {
	t.Helper()
	require.True(t, bytes.HasPrefix(pdf, []byte("%PDF-1.7\n")))
	require.True(t, bytes.HasSuffix(pdf, []byte("%%EOF\n")))
	start := regexp.MustCompile(`startxref\n(\d+)\n`).FindSubmatch(pdf)
	require.NotNil(t, start)
	at, err := strconv.Atoi(string(start[1]))
	require.NoError(t, err)
	rows := regexp.MustCompile(`(\d{10}) 00000 n \n`).FindAllSubmatch(pdf[at:], -1)
	require.NotEmpty(t, rows)
	for i, row := range rows {
		off, err := strconv.Atoi(string(row[1]))
		require.NoError(t, err)
		assert.True(t, bytes.HasPrefix(pdf[off:], fmt.Appendf(nil, "%d 0 obj\n", i+1)))
	}
	stream := regexp.MustCompile(`(?s)/Length (\d+) >>\nstream\n(.*?)\nendstream`).FindSubmatch(pdf)
	require.NotNil(t, stream)
	assert.Equal(t, string(stream[1]), strconv.Itoa(len(stream[2])))
	assert.Equal(t, 1, bytes.Count(pdf, []byte("/Type /Page ")))
	assert.NotContains(t, string(pdf), "FontFile", "nothing is embedded")
}

// TestQPDF has an independent program judge every drawing.
func TestQPDF(t *testing.T) {
	for name, draw := range arts {
		got, err := draw()
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), name+".pdf")
		require.NoError(t, os.WriteFile(file, got, 0o600))
		out, code := pdftest.Tool(t, "qpdf", "--check", file)
		require.Zero(t, code, "%s: %s", name, out)
		assert.NotContains(t, out, "WARNING")
	}
}

// TestEveryCharacterIsSet: no name is cut, whatever its length (hard case 27).
func TestEveryCharacterIsSet(t *testing.T) {
	for n := 2; n <= 60; n++ {
		name := strings.Repeat("字", n)
		got, err := seal.Company(seal.CompanySeal{Name: name, Serial: "1"})
		require.NoError(t, err)
		assert.Equal(t, n, bytes.Count(got, []byte("<5B57> Tj")))
		matrices := regexp.MustCompile(`(?m)^.* Tm$`).FindAll(got, -1)
		seen := map[[32]byte]bool{}
		for _, m := range matrices {
			seen[sha256.Sum256(m)] = true
		}
		assert.Len(t, seen, len(matrices), "each stands at its own place")
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"empty name":         {second(seal.Company(seal.CompanySeal{})), seal.ErrText},
		"name too long":      {second(seal.Company(seal.CompanySeal{Name: strings.Repeat("字", 61)})), seal.ErrText},
		"control character":  {second(seal.Company(seal.CompanySeal{Name: "甲\n乙"})), seal.ErrText},
		"bidi control":       {second(seal.Name(seal.NameSeal{Name: "甲\u202e乙"})), seal.ErrText},
		"bad UTF-8":          {second(seal.Name(seal.NameSeal{Name: "甲\xff"})), seal.ErrText},
		"no glyph":           {second(seal.Company(seal.CompanySeal{Name: "\U0003106c某"})), seal.ErrGlyph},
		"serial":             {second(seal.Company(seal.CompanySeal{Name: "甲乙", Serial: "一二"})), seal.ErrText},
		"no size":            {second(seal.Text(seal.TextBox{Lines: []string{"x"}})), seal.ErrSize},
		"size not a number":  {second(seal.Text(seal.TextBox{Lines: []string{"x"}, W: 20, H: 20, Size: math.NaN()})), seal.ErrSize},
		"huge":               {second(seal.Company(seal.CompanySeal{Name: "甲乙", Diameter: 1001})), seal.ErrSize},
		"no lines":           {second(seal.Text(seal.TextBox{W: 10, H: 10})), seal.ErrText},
		"a colour of no use": {second(seal.Text(seal.TextBox{Lines: []string{"x"}, W: 10, H: 10, Color: &seal.Color{2}})), seal.ErrSize},
	} {
		require.ErrorIs(t, tc.err, tc.want, name)
	}
	require.ErrorIs(t, seal.ErrGlyph, seal.ErrText)
}

func second(_ []byte, err error) error { return err }

func ExampleCompany() {
	art, err := seal.Company(seal.CompanySeal{Name: "云杉示例贸易有限公司", Purpose: "合同专用章"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(art[:8]))
	// Output: %PDF-1.7
}

func ExampleText() {
	art, err := seal.Text(seal.TextBox{Lines: []string{"李小龙", "2026-03-01 10:00"}, W: 160, H: 50})
	fmt.Println(len(art) > 0, err)
	// Output: true <nil>
}
