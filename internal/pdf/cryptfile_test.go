package pdf_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
)

// The files in testdata/encrypted were made by qpdf from a file of this suite,
// with the passwords "user" and "owner".
func TestR5Encryption(t *testing.T) {
	files, err := filepath.Glob("testdata/encrypted/*.pdf")
	require.NoError(t, err)
	require.Len(t, files, 8)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			for _, wrong := range []string{"", "User", "user "} {
				_, err = pdf.Open(bytes.NewReader(b), int64(len(b)), &pdf.Options{Password: wrong})
				require.ErrorIs(t, err, pdf.ErrPassword)
			}
			for _, password := range []string{"user", "owner"} {
				d := open(t, b, &pdf.Options{Password: password})
				checkSecrets(t, d)

				u, err := pdf.NewUpdate(d)
				require.NoError(t, err)
				c, ref, err := d.Catalog()
				require.NoError(t, err)
				hole := &pdf.Hole{Bytes: []byte("<c0ffee>")}
				c.Set("Sig", u.Add(pdf.MakeDict(pdf.KV{Key: "ByteRange", Value: pdf.MakeNumbers(0, 0, 0, 0)}, pdf.KV{Key: "Contents", Value: hole}, pdf.KV{Key: "Reason", Value: pdf.Text("planted")})))
				c.Set("Stream", u.Add(pdf.NewStream(nil, []byte("planted"))))
				u.Set(ref, c)
				inc := build(t, u)
				assert.NotContains(t, string(inc), "planted")
				assert.NotContains(t, string(inc), "secret")
				assert.Equal(t, inc, build(t, u), "W13: the same bytes")

				again := open(t, append(b[:len(b):len(b)], inc...), &pdf.Options{Password: password})
				checkSecrets(t, again)
				c, _, err = again.Catalog()
				require.NoError(t, err)
				sig, _, err := again.LookupDict(c, "Sig")
				require.NoError(t, err)
				assert.Equal(t, []byte{0xc0, 0xff, 0xee}, sig.Get("Contents").(pdf.String).B, "W5: Contents is exempt")
				assert.Equal(t, []byte("planted"), sig.Get("Reason").(pdf.String).B)
				s, err := again.Lookup(c, "Stream")
				require.NoError(t, err)
				data, err := s.(*pdf.Stream).Decode()
				require.NoError(t, err)
				assert.Equal(t, "planted", string(data))
			}
		})
	}
}

func checkSecrets(t *testing.T, d *pdf.Doc) {
	t.Helper()
	c, _, err := d.Catalog()
	require.NoError(t, err)
	note, _, err := d.LookupText(c, "Note")
	require.NoError(t, err)
	assert.Equal(t, "secret (note)", note)
	m, err := d.Lookup(c, "Metadata")
	require.NoError(t, err)
	b, err := m.(*pdf.Stream).Decode()
	require.NoError(t, err)
	assert.Equal(t, "<x/>", string(b))
	p, err := d.Page(0)
	require.NoError(t, err)
	content, err := d.Content(p)
	require.NoError(t, err)
	assert.Equal(t, "0 0 m", string(content))
}

// An update of a hybrid file is a table (W2), and what only the hidden stream
// defines stays.
func TestW2Hybrid(t *testing.T) {
	f := hybrid()
	d := open(t, f.Bytes(), nil)
	inc, err := update(d)
	require.NoError(t, err)
	assert.NotContains(t, string(inc), "/XRef")
	again := open(t, append(f.Bytes(), inc...), nil)
	revs, err := again.Revisions()
	require.NoError(t, err)
	require.Len(t, revs, 2)
	assert.Equal(t, pdf.Table, revs[0].Kind)
	assert.Equal(t, pdf.Hybrid, revs[1].Kind)
	assert.Equal(t, "(hidden)", source(t, object(t, again, 4)))
	assert.Equal(t, 1, pageCount(t, again))
}
