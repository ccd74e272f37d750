package qr_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/internal/qr"
)

// Finders, timing and the dark module are where the standard has them.
func TestShape(t *testing.T) {
	c, err := qr.Encode([]byte("HELLO, WORLD"))
	require.NoError(t, err)
	assert.Equal(t, 21, c.Size)
	for _, at := range [][2]int{{0, 0}, {14, 0}, {0, 14}} {
		for i := range 7 {
			assert.True(t, c.Black(at[0]+i, at[1]) && c.Black(at[0]+i, at[1]+6) && c.Black(at[0], at[1]+i) && c.Black(at[0]+6, at[1]+i))
		}
		assert.True(t, c.Black(at[0]+3, at[1]+3))
		assert.False(t, c.Black(at[0]+1, at[1]+1))
	}
	for i := 8; i <= 12; i++ {
		assert.Equal(t, i%2 == 0, c.Black(i, 6))
		assert.Equal(t, i%2 == 0, c.Black(6, i))
	}
	assert.True(t, c.Black(8, 13))
	assert.False(t, c.Black(-1, 0) || c.Black(21, 0))
	again, err := qr.Encode([]byte("HELLO, WORLD"))
	require.NoError(t, err)
	assert.Equal(t, c, again)
	full, err := qr.Encode(bytes.Repeat([]byte("x"), qr.MaxBytes))
	require.NoError(t, err)
	assert.Equal(t, 97, full.Size)
	_, err = qr.Encode(bytes.Repeat([]byte("x"), qr.MaxBytes+1))
	require.Error(t, err)
}

// A reader that is not ours reads every version.
func TestDecoder(t *testing.T) {
	pdftest.Need(t, "zbarimg")
	step := 1
	if testing.Short() {
		step = 40
	}
	for n := 1; n <= qr.MaxBytes; n += 13 * step {
		text := strings.Repeat("countersign/log 0123456789abcdef+ZYX=", 20)[:n]
		c, err := qr.Encode([]byte(text))
		require.NoError(t, err)
		const scale = 4
		img := image.NewGray(image.Rect(0, 0, (c.Size+8)*scale, (c.Size+8)*scale))
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				if !c.Black(x/scale-4, y/scale-4) {
					img.SetGray(x, y, color.Gray{Y: 255})
				}
			}
		}
		path := filepath.Join(t.TempDir(), "code.png")
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
		out, code := pdftest.Tool(t, "zbarimg", "--nodbus", "-q", "--raw", "-Sdisable", "-Sqrcode.enable", path)
		require.Zero(t, code, "%d bytes: %s", n, out)
		require.Equal(t, text, strings.TrimSuffix(out, "\n"), "%d bytes", n)
	}
}
