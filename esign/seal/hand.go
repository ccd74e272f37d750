package seal

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the two formats that pads and cameras give
	_ "image/png"
	"math"

	"golang.org/x/image/draw"

	"github.com/countersign/countersign/internal/coded"
	"github.com/countersign/countersign/internal/typeset"
)

const (
	maxImage  = 4 << 20 // bytes
	maxPixels = 16 << 20
	maxSide   = 800 // samples kept along the longer side
)

// ErrImage refuses what is no PNG or JPEG, or too large: 4 MiB, 16 megapixels.
var ErrImage = coded.New("seal_image", "seal: image")

// A HandSignature is a signature written on a pad or on paper, or a seal's
// imprint as a picture.
type HandSignature struct {
	Image []byte  // PNG or JPEG; paper becomes transparent, what is dark or opaque is ink
	W, H  float64 // of the box; required. The drawing keeps its proportions
	Color *Color  // of the ink; nil: Black
}

// Hand draws a handwritten signature in one colour of ink, without its paper.
// It proves nothing by itself, and how it was written is not kept. It fails with
// [ErrImage] or [ErrSize].
func Hand(s HandSignature) ([]byte, error) {
	if len(s.Image) == 0 || len(s.Image) > maxImage {
		return nil, fmt.Errorf("%w: up to 4 MiB", ErrImage)
	}
	conf, _, err := image.DecodeConfig(bytes.NewReader(s.Image)) // before anything is allocated
	if err != nil || conf.Width <= 0 || conf.Height <= 0 || conf.Width > maxPixels/conf.Height {
		return nil, fmt.Errorf("%w: not a picture of up to 16 megapixels", ErrImage)
	}
	src, _, err := image.Decode(bytes.NewReader(s.Image))
	if err != nil {
		return nil, fmt.Errorf("%w: does not decode", ErrImage)
	}
	doc, p, err := begin(s.W, s.H, s.Color, Black)
	if err != nil {
		return nil, err
	}
	ink := Black
	if s.Color != nil {
		ink = *s.Color
	}
	m := mask(src)
	scale := math.Min(s.W/float64(m.W), s.H/float64(m.H))
	w, h := scale*float64(m.W), scale*float64(m.H)
	p.Ink((s.W-w)/2, (s.H-h)/2, w, h, m, typeset.Color(ink))
	return doc.Bytes(), nil
}

// mask is how much ink each sample shows: opacity, less how light it is. A
// picture without any transparency is paper; paler than a fifth is none.
func mask(src image.Image) typeset.Mask {
	b := src.Bounds()
	scale := math.Min(1, maxSide/float64(max(b.Dx(), b.Dy())))
	w, h := max(1, int(float64(b.Dx())*scale+0.5)), max(1, int(float64(b.Dy())*scale+0.5))
	small := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(small, small.Bounds(), src, b, draw.Src, nil)
	m := typeset.Mask{W: w, H: h, Ink: make([]byte, w*h)}
	for y := range h {
		for x := range w {
			c := small.NRGBAAt(x, y)
			light := int(color.GrayModel.Convert(color.NRGBA{c.R, c.G, c.B, 255}).(color.Gray).Y)
			v := (255 - light) * int(c.A) / 255
			m.Ink[y*w+x] = byte(min(255, max(0, (v-51)*255/(255-51))))
		}
	}
	return m
}
