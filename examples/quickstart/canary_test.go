package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/privacy"
)

// TestQuickstart_P02: of the people in the story nothing is in the database, the
// names of blobs, or the bundle beyond what it discloses to whom it is for, in
// whatever spelling; and once erased, nobody is in a later bundle.
func TestQuickstart_P02_P17_Canary(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, play(t, "", dir))
	found := func(what string, have []byte) {
		t.Helper()
		for who, p := range people {
			for _, s := range []string{p.name, p.phone} {
				if s == "" {
					continue
				}
				var u16 []byte
				for _, r := range utf16.Encode([]rune(s)) {
					u16 = append(u16, byte(r>>8), byte(r))
				}
				for _, form := range []string{s, hex.EncodeToString([]byte(s)), url.QueryEscape(s), base64.StdEncoding.EncodeToString([]byte(s)), string(u16)} {
					assert.False(t, bytes.Contains(have, []byte(form)), "%s: %s", what, who)
				}
			}
		}
	}
	db, err := os.ReadFile(filepath.Join(dir, "countersign.db"))
	require.NoError(t, err)
	require.Contains(t, string(db), "recipient.signed", "it is readable where it may be")
	found("database", db)
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		found("file name", []byte(path))
		return err
	}))

	now := func() time.Time { return time.Date(2046, 3, 2, 9, 0, 0, 0, time.UTC) } // nothing is retained any more
	d, err := deploy(dir, now)
	require.NoError(t, err)
	defer d.close()
	ctx := context.Background()
	for _, who := range signers {
		got, err := d.svc.ErasePerson(ctx, actor(who), esign.Erasure{})
		require.NoError(t, err)
		assert.Equal(t, privacy.Shredded, got.State)
	}
	var bundle bytes.Buffer
	require.NoError(t, d.svc.Export(ctx, actor("hr"), esign.Export{Envelope: envelope, Digests: true}, &bundle))
	found("a later bundle", bundle.Bytes())
}
