package pdf_test

import (
	"bytes"
	"compress/lzw"
	"encoding/ascii85"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

func decodeStream(t *testing.T, dict string, data []byte) ([]byte, error) {
	t.Helper()
	f := simple().stream(9, dict, data).table("/Root 1 0 R")
	return object(t, open(t, f.Bytes(), nil), 9).(*pdf.Stream).Decode()
}

func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(4)) * byte(i>>8)
	}
	return b
}

func TestR2Filters(t *testing.T) {
	want := sample(20_000)
	var a85, hex, run bytes.Buffer
	e := ascii85.NewEncoder(&a85)
	e.Write(want)
	e.Close()
	a85.WriteString("~>")
	fmt.Fprintf(&hex, "%x >", want)
	for i := 0; i < len(want); i += 100 {
		run.WriteByte(99)
		run.Write(want[i:min(i+100, len(want))])
	}
	run.WriteByte(128)
	for dict, data := range map[string][]byte{
		"":                              want,
		"/Filter /FlateDecode":          deflated(want),
		"/Filter [/FlateDecode]":        deflated(want),
		"/Filter /ASCII85Decode":        a85.Bytes(),
		"/Filter /ASCIIHexDecode":       hex.Bytes(),
		"/Filter /RunLengthDecode":      run.Bytes(),
		"/Filter [/AHx /FlateDecode]":   fmt.Appendf(nil, "%X>", deflated(want)),
		"/Filter [/A85 /RL]":            a85of(run.Bytes()),
		"/Filter /LZWDecode":            earlyLZW(want),
		"/Filter /Fl /DecodeParms null": deflated(want),
	} {
		b, err := decodeStream(t, dict, data)
		require.NoError(t, err, dict)
		assert.True(t, bytes.Equal(want, b), dict)
	}
	// The standard library's variant never grows codes early.
	var late bytes.Buffer
	w := lzw.NewWriter(&late, lzw.MSB, 8)
	w.Write(want[:1000])
	w.Close()
	b, err := decodeStream(t, "/Filter /LZWDecode /DecodeParms <</EarlyChange 0>>", late.Bytes())
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want[:1000], b))

	cut := deflated(want)
	b, err = decodeStream(t, "/Filter /FlateDecode", cut[:len(cut)/2])
	require.ErrorIs(t, err, pdf.ErrMalformed)
	assert.True(t, bytes.HasPrefix(want, b) && len(b) > 0, "what can be decoded is returned")
	_, err = decodeStream(t, "/Filter /DCTDecode", want)
	require.ErrorIs(t, err, pdf.ErrFilter)
}

func a85of(b []byte) []byte {
	var out bytes.Buffer
	e := ascii85.NewEncoder(&out)
	e.Write(b)
	e.Close()
	return append(out.Bytes(), "~>"...)
}

// earlyLZW encodes as PDF writers do by default: codes grow one early.
func earlyLZW(b []byte) []byte {
	var out []byte
	var acc uint32
	var bits, width uint = 0, 9
	put := func(c int) {
		acc = acc<<width | uint32(c)
		for bits += width; bits >= 8; bits -= 8 {
			out = append(out, byte(acc>>(bits-8)))
		}
	}
	table := map[string]int{}
	next := 258
	code := func(s []byte) int {
		if len(s) == 1 {
			return int(s[0])
		}
		return table[string(s)]
	}
	put(256)
	i := 0
	for i < len(b) {
		j := i + 1
		for j < len(b) {
			if _, ok := table[string(b[i:j+1])]; !ok {
				break
			}
			j++
		}
		put(code(b[i:j]))
		if j < len(b) {
			table[string(b[i:j+1])] = next
			next++
			switch next {
			case 512, 1024, 2048:
				width++
			case 4095:
				put(256)
				width, next = 9, 258
				clear(table)
			}
		}
		i = j
	}
	put(257)
	if bits > 0 {
		out = append(out, byte(acc<<(8-bits)))
	}
	return out
}

func TestR2Predictors(t *testing.T) {
	want := sample(1200)
	for kind := range 5 {
		for _, p := range []struct{ colors, bits, columns int }{{1, 8, 40}, {3, 8, 10}, {4, 16, 5}, {1, 1, 80}} {
			row := (p.colors*p.bits*p.columns + 7) / 8
			pixel := max(1, p.colors*p.bits/8)
			var enc []byte
			for i := 0; i < len(want); i += row {
				line := want[i:min(i+row, len(want))]
				enc = append(enc, byte(kind))
				for j := range line {
					at := func(k int) int {
						if k < 0 {
							return 0
						}
						return int(want[k])
					}
					left, up, corner := 0, at(i+j-row), 0
					if j >= pixel {
						left, corner = int(line[j-pixel]), at(i+j-pixel-row)
					}
					pred := 0
					switch kind {
					case 1:
						pred = left
					case 2:
						pred = up
					case 3:
						pred = (left + up) / 2
					case 4:
						pred = paeth(left, up, corner)
					}
					enc = append(enc, line[j]-byte(pred))
				}
			}
			dict := fmt.Sprintf("/Filter /FlateDecode /DecodeParms <</Predictor %d /Colors %d /BitsPerComponent %d /Columns %d>>", 10+kind, p.colors, p.bits, p.columns)
			b, err := decodeStream(t, dict, deflated(enc))
			require.NoError(t, err, dict)
			assert.True(t, bytes.Equal(want, b), dict)
		}
	}
	tiff := []byte{1, 1, 1, 1, 10, 1, 1, 1}
	b, err := decodeStream(t, "/Filter /FlateDecode /DecodeParms <</Predictor 2 /Columns 4>>", deflated(tiff))
	require.NoError(t, err)
	assert.Equal(t, []byte{1, 2, 3, 4, 10, 11, 12, 13}, b)
	b, err = decodeStream(t, "/Filter /FlateDecode /DecodeParms <</Predictor 2 /Columns 4 /BitsPerComponent 2>>", deflated([]byte{0b01_01_01_01}))
	require.NoError(t, err)
	assert.Equal(t, []byte{0b01_10_11_00}, b)
	b, err = decodeStream(t, "/Filter /FlateDecode /DecodeParms <</Predictor 2 /Columns 2 /BitsPerComponent 16>>", deflated([]byte{0, 255, 0, 1}))
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 255, 1, 0}, b)
}

func paeth(a, b, c int) int {
	abs := func(n int) int { return max(n, -n) }
	p := a + b - c
	pa, pb, pc := abs(p-a), abs(p-b), abs(p-c)
	if pa <= pb && pa <= pc {
		return a
	} else if pb <= pc {
		return b
	}
	return c
}
