package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Eight characters at once are judged as each alone.
func TestEightAtOnce(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	var hexes [64]byte
	for range 200_000 {
		b := make([]byte, rnd.IntN(30))
		for i := range b {
			b[i] = byte(0x1e + rnd.IntN(0x64))
			if rnd.IntN(4) == 0 {
				b[i] = byte(rnd.IntN(256))
			}
		}
		want := 0
		for want < len(b) && b[want] >= 0x20 && b[want] < 0x80 && b[want] != '"' && b[want] != '\\' {
			want++
		}
		require.Equal(t, want, plain(b), "%q", b)
	}
	for i := range hexes {
		hexes[i] = "0123456789abcdef"[i%16]
	}
	require.True(t, isHex(&hexes))
	for i := range hexes {
		was := hexes[i]
		for c := range 256 {
			hexes[i] = byte(c)
			require.Equal(t, strings.IndexByte("0123456789abcdef", hexes[i]) >= 0, isHex(&hexes), "%q at %d", c, i)
		}
		hexes[i] = was
	}
	for range 200_000 {
		n := rnd.Uint32()
		digits := hex.AppendEncode(nil, binary.LittleEndian.AppendUint32(nil, n))
		require.Equal(t, n, unhex(binary.LittleEndian.Uint64(digits)), "%s", digits)
	}
}

// Instants read as package time reads them, and those that it would carry over or
// that are not written are refused.
func TestInstants(t *testing.T) {
	t.Parallel()
	read := func(s string) (time.Time, bool) {
		p := scanner{b: []byte(`"` + s + `"`)}
		at := p.time()
		return at, !p.bad && p.i == len(p.b)
	}
	for day := time.Date(1, 1, 1, 23, 59, 58, 999_999_000, time.UTC); day.Year() < 10_000; day = day.AddDate(0, 0, 1) {
		if day.Day() > 1 && day.Day() < 28 {
			day = day.AddDate(0, 0, 27-day.Day())
			continue
		}
		got, ok := read(day.Format(timeForm))
		require.True(t, ok, day)
		if got != day {
			require.Equal(t, day, got)
		}
		if day.Day() == 1 {
			continue
		}
		over := fmt.Sprintf("%04d-%02d-%02dT00:00:00.000000Z", day.Year(), day.Month(), day.Day()+1)
		_, err := time.Parse(timeForm, over)
		_, ok = read(over)
		require.Equal(t, err == nil, ok, over)
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 200_000 {
		b := []byte(time.UnixMicro(rnd.Int64N(1 << 51)).UTC().Format(timeForm))
		for range 1 + rnd.IntN(2) {
			b[rnd.IntN(len(b))] = "0123456789-T:.Z/;"[rnd.IntN(17)]
		}
		want, err := time.Parse(timeForm, string(b))
		ok := err == nil && want.Format(timeForm) == string(b) && want.Year() > 0
		got, is := read(string(b))
		require.Equal(t, ok, is, string(b))
		if is {
			require.Equal(t, want, got)
		}
	}
}

// BenchmarkGlance judges the form of an event of 966 bytes with 6 commitments.
func BenchmarkGlance(b *testing.B) {
	e := Event{Env: "e001", Seq: 17, Type: "code.checked", At: time.Date(2026, 3, 1, 1, 2, 3, 456789000, time.UTC), Prev: make([]byte, 32),
		Actor: Actor{ID: "li", Role: "signer", Account: "li"}}
	for i := range 6 {
		sum := sha256.Sum256([]byte{byte(i)})
		e.Personal = append(e.Personal, Committed{Field: "user_agent", C: sum[:], K: fmt.Sprintf("%032x", i/3)})
	}
	raw, err := e.encode(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("glance", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := e.glance(raw, "e001"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sha256", func(b *testing.B) {
		for b.Loop() {
			sha256.Sum256(raw)
		}
	})
	b.Run("encode", func(b *testing.B) {
		if err := e.scan(raw); err != nil {
			b.Fatal(err)
		}
		room := make([]byte, 0, 2048)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.encode(room); err != nil {
				b.Fatal(err)
			}
		}
	})
}
