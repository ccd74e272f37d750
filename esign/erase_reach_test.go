package esign_test

import (
	"archive/zip"
	"bytes"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/evidence"
)

// TestErase_P17_B6: after two of three are forgotten nothing of them is reached through
// Blobs, tiles, bundles with and without documents, receipts and log lines, in any
// spelling. Documents are excepted: they hold what people signed, and nothing else
// in Blobs does.
func TestErase_P17_B6_NothingIsReached(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	all := &census{Store: w.store}
	w.store = all
	var logged bytes.Buffer
	c := w.config(w.store, w.blobs)
	c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	w.buy(svc, "hr")
	people := []string{"li", "wang", "zhao"}
	names := map[string]string{"li": "李小明", "wang": "王天津", "zhao": "赵六"}
	var rows []esign.Invitee
	for _, who := range people {
		rows = append(rows, w.invitee(who, 1, esign.ChannelSMS))
	}
	w.send(svc, "e1", rows...)
	for _, who := range people {
		_, err := w.sign(svc, "e1", who)
		require.NoError(t, err)
		w.pass(time.Minute)
	}
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)
	mark := logged.Len()
	gone := []string{"li", "wang"}
	for _, who := range gone {
		_, err := svc.ErasePerson(ctx, actor(who), esign.Erasure{})
		require.NoError(t, err)
	}
	w.pass(20 * 365 * 24 * time.Hour) // past what the law keeps
	_, err = svc.Deliver(ctx)
	require.NoError(t, err)

	reach := map[string][]byte{"store": []byte(all.everything(t)), "log lines": logged.Bytes()}
	assert.LessOrEqual(t, mark, logged.Len())
	ids, err := w.blobs.List(ctx, "", 1000)
	require.NoError(t, err)
	documents := 0
	for _, id := range ids {
		r, err := w.blobs.Open(ctx, id)
		require.NoError(t, err)
		b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		require.NoError(t, err)
		require.NoError(t, r.Close())
		reach["name of blob "+id] = []byte(id)
		if bytes.HasPrefix(b, []byte("%PDF-")) {
			documents++
			continue
		}
		reach["blob "+id] = b
	}
	assert.Positive(t, documents)
	var shut, whole bytes.Buffer
	require.NoError(t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: "e1", Digests: true}, &shut))
	reach["bundle"] = shut.Bytes()
	require.NoError(t, svc.Export(ctx, actor("hr"), esign.Export{Envelope: "e1"}, &whole))
	archive, err := zip.NewReader(bytes.NewReader(whole.Bytes()), int64(whole.Len()))
	require.NoError(t, err)
	var disclosed []byte
	for _, f := range archive.File {
		if strings.HasPrefix(f.Name, "docs/") {
			continue
		}
		r, err := f.Open()
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		reach["bundle with documents, "+f.Name] = b
		if f.Name == "disclosures.jsonl" {
			disclosed = b
		}
	}
	assert.Contains(t, string(disclosed), phones["zhao"], "who stays is disclosed to the sender, so the hunt has something to find")
	rec, err := svc.Evidence().Receipt(ctx, tenant, "e1")
	require.NoError(t, err)
	reach["receipt"] = []byte(rec.Event + rec.Proof)
	for _, path := range []string{"checkpoint", "tile/entries/000.p/"} {
		if strings.HasSuffix(path, "/") {
			cp, err := svc.Evidence().Checkpoint(ctx)
			require.NoError(t, err)
			path += strconv.FormatUint(min(cp.Size, 255), 10)
		}
		if b, err := svc.Evidence().Published(ctx, path); err == nil {
			reach[path] = b
		} else {
			require.ErrorIs(t, err, evidence.ErrNotFound)
		}
	}
	for where, b := range reach {
		for _, who := range gone {
			for _, p := range []string{names[who], phones[who]} {
				for i, x := range spellings(p) {
					if i > 0 && len(x) < 6 {
						continue
					}
					require.False(t, bytes.Contains(b, []byte(x)), "%s still says %q", where, x)
				}
			}
		}
	}
}
