package der_test

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/cms/der"
)

func TestOIDs(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1.2.840.113549.1.7.2", "2.5.29.15", "0.9.2342", "1.2.156.10197.1.501", "2.999.3161.1", "1.3.101.112"} {
		o, err := der.ParseOID(s)
		require.NoError(t, err)
		assert.Equal(t, s, o.String())
		var b der.Builder
		b.OID(o)
		var std asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(b.Bytes(), &std)
		require.NoError(t, err)
		assert.Empty(t, rest)
		assert.Equal(t, s, std.String())
	}
	for _, s := range []string{"", "1", "3.1", "1.40", "1.x", "1..2", "1.2.99999999999999999999"} {
		_, err := der.ParseOID(s)
		require.Error(t, err, s)
	}
	assert.Equal(t, "1.2.?", (der.OID("\x2a" + string(bytes.Repeat([]byte{0xff}, 12)) + "\x01")).String())
}

func TestIntegersMatchStd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "n"))
		if rapid.Bool().Draw(t, "negative") {
			n.Neg(n)
		}
		want, err := asn1.Marshal(n)
		require.NoError(t, err)
		var b der.Builder
		b.Int(n)
		require.Equal(t, want, b.Bytes())
		v, err := der.Parse(want)
		require.NoError(t, err)
		back, err := v.Int()
		require.NoError(t, err)
		require.Zero(t, n.Cmp(back))
	})
}

func TestLengthsMatchStd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 20} {
		want, err := asn1.Marshal([][]byte{make([]byte, n)})
		require.NoError(t, err)
		var b der.Builder
		m := b.Begin(der.Sequence)
		b.Octets(make([]byte, n))
		b.End(m)
		require.True(t, bytes.Equal(want, b.Bytes()), "%d", n)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 120000000, time.UTC)
	var b der.Builder
	b.Time(at)
	b.Time(at.AddDate(30, 0, 0))
	b.GeneralizedTime(at)
	for _, want := range []string{"\x17\x0d260301120000Z", "\x18\x0f20560301120000Z", "\x18\x1220260301120000.12Z"} {
		v, rest, err := der.Read(b.Bytes())
		require.NoError(t, err)
		assert.Equal(t, want, string(v.Raw))
		_, err = v.Time()
		require.NoError(t, err)
		b = der.Builder{}
		b.Raw(rest)
	}
	for _, c := range []struct{ in, want string }{
		{"\x17\x0d500101000000Z", "1950-01-01T00:00:00Z"},
		{"\x17\x0d491231235959Z", "2049-12-31T23:59:59Z"},
		{"\x17\x0f2603011200+0800", "2026-03-01T04:00:00Z"},
		{"\x18\x1320260301120000+0800", "2026-03-01T04:00:00Z"},
		{"\x18\x0e20260301120000", ""},
		{"\x17\x0d260230000000Z", ""},
		{"\x04\x01Z", ""},
	} {
		v, _, err := der.Read([]byte(c.in))
		var at time.Time
		if err == nil {
			at, err = v.Time()
		}
		if c.want == "" {
			require.ErrorIs(t, err, der.ErrSyntax, "%q", c.in)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, c.want, at.Format(time.RFC3339))
	}
}

func TestBER(t *testing.T) {
	t.Parallel()
	// SEQUENCE indefinite { OCTET STRING constructed indefinite { "ab", "c" }, INTEGER with a long length }
	in := []byte("\x30\x80\x24\x80\x04\x02ab\x04\x01c\x00\x00\x02\x82\x00\x01\x05\x00\x00")
	v, rest, err := der.Read(append(bytes.Clone(in), 0, 0))
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 0}, rest)
	c := v.Enter()
	assert.Equal(t, "abc", string(c.Octets()))
	assert.Equal(t, 5, c.Small())
	require.NoError(t, c.Done())
	d, err := v.DER()
	require.NoError(t, err)
	assert.Equal(t, "\x30\x08\x04\x03abc\x02\x01\x05", string(d))
	v, err = der.Parse(d)
	require.NoError(t, err)
	again, err := v.DER()
	require.NoError(t, err)
	assert.Equal(t, d, again)
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "\x30", "\x30\x01", "\x30\x81", "\x30\x82\x01", "\x30\xff", "\x04\x80\x00\x00", "\x30\x80", "\x30\x80\x00",
		"\x1f", "\x1f\x81", "\x1f\x81\x81\x81\x81\x81\x01\x00", "\x30\x84\xff\xff\xff\xff", "\x30\x88\x00\x00\x00\x00\x00\x00\x00\x05",
	} {
		_, _, err := der.Read([]byte(s))
		require.Error(t, err, "%q", s)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	_, _, err := der.Read(bytes.Repeat([]byte{0x30, 0x80}, der.MaxDepth+2))
	require.ErrorIs(t, err, der.ErrLimit)
	b := []byte{5, 0}
	for range der.MaxDepth + 2 {
		var o der.Builder
		m := o.Begin(der.Sequence)
		o.Raw(b)
		o.End(m)
		b = o.Bytes()
	}
	v, err := der.Parse(b)
	require.NoError(t, err)
	for err == nil {
		c := v.Enter()
		v = c.Next()
		err = c.Err()
	}
	require.ErrorIs(t, err, der.ErrLimit)
	var big der.Builder
	big.Octets(make([]byte, der.MaxSize))
	_, err = der.Parse(big.Bytes())
	require.ErrorIs(t, err, der.ErrLimit)
	_, err = der.ParseLong(big.Bytes())
	require.NoError(t, err)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x30\x80\x24\x80\x04\x02ab\x04\x01c\x00\x00\x02\x82\x00\x01\x05\x00\x00"))
	f.Add([]byte("\x17\x0d260301120000Z\x06\x03\x2a\x03\x04\x03\x02\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := der.Read(b)
		if err != nil {
			return
		}
		require.Len(t, b, len(v.Raw)+len(rest))
		walk(v)
		d, err := v.DER()
		if err != nil {
			return
		}
		w, err := der.Parse(d)
		require.NoError(t, err)
		again, err := w.DER()
		require.NoError(t, err)
		require.Equal(t, d, again, "DER of DER is itself")
	})
}

func walk(v der.Value) {
	v.Bool()
	v.Int()
	v.Small()
	v.Bits()
	v.Octets()
	v.Time()
	if o, err := v.OID(); err == nil {
		_ = o.String()
	}
	if v.Tag&der.Constructed != 0 {
		for c := v.Enter(); c.More(); {
			if e := c.Next(); e.Present() {
				walk(e)
			}
		}
	}
}
