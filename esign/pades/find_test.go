package pades_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/esign/seal"
)

// Keywords place signatures: Latin and Chinese, on the page and by rectangle.
func TestFindText(t *testing.T) {
	t.Parallel()
	doc, err := seal.Text(seal.TextBox{Lines: []string{"甲方（盖章）：", "Party B:"}, W: 400, H: 200, Size: 12})
	require.NoError(t, err)
	for _, text := range []string{"甲方（盖章）", "Party B"} {
		found, err := pades.FindText(t.Context(), bytes.NewReader(doc), int64(len(doc)), text, nil)
		require.NoError(t, err)
		require.Len(t, found, 1, text)
		assert.Equal(t, 1, found[0].Page)
		require.Len(t, found[0].Rects, 1)
		r := found[0].Rects[0]
		assert.True(t, r[0] >= 0 && r[0] < r[2] && r[2] <= 400 && r[1] < r[3] && r[3] <= 200, "%v", r)
	}
	none, err := pades.FindText(t.Context(), bytes.NewReader(doc), int64(len(doc)), "丙方", nil)
	require.NoError(t, err)
	assert.Empty(t, none)
	_, err = pades.FindText(t.Context(), bytes.NewReader(doc), int64(len(doc)), "", nil)
	require.ErrorIs(t, err, pades.ErrUsage)
}

// A cancelled context stops work, wherever it is.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newSigner(t, "ecdsa")
	doc := formDoc().classic()
	_, err := pades.Sign(ctx, bytes.NewReader(doc), int64(len(doc)), nil, s.spec(), s.key, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = pades.Verify(ctx, bytes.NewReader(doc), int64(len(doc)), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzVerify: whatever comes, an answer or a code, and never PASSED without
// roots.
func FuzzVerify(f *testing.F) {
	s := newSigner(f, "ecdsa")
	f.Add(sign(f, formDoc().classic(), s, s.spec()))
	f.Add(sign(f, plainDoc().streams(), s, s.spec()))
	for _, name := range []string{"attack", "malformed", "signed"} {
		dir := os.Getenv("COUNTERSIGN_CORPUS")
		list, _ := filepath.Glob(filepath.Join(dir, name, "*.pdf"))
		for i, path := range list {
			if b, err := os.ReadFile(path); err == nil && i%5 == 0 && len(b) < 100<<10 && dir != "" {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			require.NotEmpty(t, pades.CodeOf(err), "%v", err)
			return
		}
		require.NotEqual(t, pades.Passed, r.Verdict)
	})
}
