package sms_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
)

func TestCount(t *testing.T) {
	for _, tc := range []struct {
		name, signature, body string
		units                 int
	}{
		{"70", "", strings.Repeat("字", 70), 1},
		{"71", "", strings.Repeat("字", 71), 2},
		{"134", "", strings.Repeat("字", 134), 2},
		{"135", "", strings.Repeat("字", 135), 3},
		{"160", "", strings.Repeat("a", 160), 3},
		{"201", "", strings.Repeat("a", 201), 3},
		{"202", "", strings.Repeat("a", 202), 4},
		{"500", "", strings.Repeat("a", 500), 8},
		{"501 refused", "", strings.Repeat("a", 501), 0},
		{"signature + 66", "签约", strings.Repeat("字", 66), 1},
		{"signature + 67", "签约", strings.Repeat("字", 67), 2},
		{"66 and two surrogate pairs", "", strings.Repeat("字", 66) + "😀😀", 1},
		{"67 and two surrogate pairs", "", strings.Repeat("字", 67) + "😀😀", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sms.Count(sms.Notice, tc.signature, tc.body)
			if tc.units == 0 {
				require.ErrorIs(t, err, sms.ErrTooLong)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.units, got.Units)
		})
	}
	got, err := sms.Count(sms.VoiceOTP, "签约", "123456")
	require.NoError(t, err)
	assert.Equal(t, sms.Segments{Encoding: sms.Voice, Length: 6, Units: 1}, got)
	_, err = sms.Count("fax", "签约", "x")
	require.ErrorIs(t, err, sms.ErrKind)
}

func TestCountInternational(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		enc        sms.Encoding
		units      int
	}{
		{"160", strings.Repeat("a", 160), sms.GSM7, 1},
		{"161", strings.Repeat("a", 161), sms.GSM7, 2},
		{"306", strings.Repeat("a", 306), sms.GSM7, 2},
		{"307", strings.Repeat("a", 307), sms.GSM7, 3},
		{"80 euro", strings.Repeat("€", 80), sms.GSM7, 1},
		{"80 euro + a", strings.Repeat("€", 80) + "a", sms.GSM7, 2},
		{"no straddle", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), sms.GSM7, 3},
		{"159 + han", strings.Repeat("a", 159) + "字", sms.UCS2, 3},
		{"pair kept", strings.Repeat("a", 66) + "😀" + strings.Repeat("字", 66), sms.UCS2, 3},
		{"backtick is not GSM-7", "`", sms.UCS2, 1},
		{"empty", "", sms.GSM7, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sms.CountInternational(sms.Notice, tc.text)
			require.NoError(t, err)
			assert.Equal(t, tc.enc, got.Encoding)
			assert.Equal(t, tc.units, got.Units)
		})
	}
	_, err := sms.CountInternational(sms.Notice, strings.Repeat("字", 67*256))
	require.ErrorIs(t, err, sms.ErrTooLong)
}
