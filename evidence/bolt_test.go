package evidence_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage/boltstore"
)

// The embedded default, closed and opened again between the steps, as after a
// restart; then its file is searched for what must not be in it.
func TestOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "db")
	root := filepath.Join(dir, "root.key")
	w := newWorld(t, nil)
	s := newTSA(t, w.clock)
	reopen := func(fn func()) {
		db, err := boltstore.Open(path, nil)
		require.NoError(t, err)
		w.vault = must(privacy.New(privacy.Config{Root: must(privacy.OpenFileKey(root)), Store: db, Now: w.clock}))
		w.log = must(evidence.New(evidence.Config{LogSigner: w.key, Origin: origin, Store: db, Vault: w.vault, Now: w.clock,
			Anchors: []evidence.Anchor{evidence.TSA{Client: s}}}))
		w.ctx = w.vault.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "clerk"})
		fn()
		require.NoError(t, db.Close())
	}
	reopen(func() { w.envelope("nda-17") })
	reopen(func() { w.anchor() })
	var shut, open []byte
	reopen(func() { shut = w.export("nda-17", &evidence.ExportOptions{}); open = w.export("nda-17", nil) })
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	assert.Equal(t, evidence.Passed, verify(t, open, o).Verdict)
	hunt := func(where string, b []byte) {
		t.Helper()
		for _, c := range []string{"李明", "王小丽", "13800138000", "13900139000", "203.0.113.7"} {
			for _, x := range []string{c, hex.EncodeToString([]byte(c)), base64.StdEncoding.EncodeToString([]byte(c)), url.QueryEscape(c)} {
				assert.False(t, bytes.Contains(b, []byte(x)), where)
			}
		}
	}
	hunt("database", must(os.ReadFile(path)))
	hunt("bundle", shut)
	reopen(func() {
		for _, id := range []string{"li", "wang"} {
			must(w.log.EraseSubject(w.ctx, privacy.Subject{Tenant: "acme", ID: id}, evidence.Actor{ID: "dpo"}, "request"))
		}
		w.anchor()
		b := w.export("nda-17", nil)
		assert.Equal(t, evidence.Passed, verify(t, b, o).Verdict, troubles(verify(t, b, o)))
		hunt("bundle after erasure", b)
	})
	hunt("database after erasure", must(os.ReadFile(path)))
}

// Verify may be called concurrently and always answers the same.
func TestVerifyIsPure(t *testing.T) {
	t.Parallel()
	w, s := anchoredWorld(t)
	w.envelope("nda-17")
	w.anchor()
	b := w.export("nda-17", nil)
	o := &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}
	want := verify(t, b, o)
	before := bytes.Clone(b)
	var wg sync.WaitGroup
	got := make([]*evidence.Report, 8)
	for i := range got {
		wg.Go(func() { got[i], _ = evidence.Verify(bytes.NewReader(b), int64(len(b)), o) })
	}
	wg.Wait()
	for _, r := range got {
		assert.Equal(t, want, r)
	}
	assert.Equal(t, before, b)
}
