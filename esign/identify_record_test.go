package esign_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/storage"
)

// TestChecksV1: checks and what is known of accounts, as version 1 of their
// schemas wrote them, are read whole. The file is frozen: it is never
// regenerated.
func TestChecksV1(t *testing.T) {
	frozen, err := os.ReadFile(filepath.Join("testdata", "checks-v1.jsonl"))
	require.NoError(t, err)
	o := newOffice(t)
	svc := o.service()
	var batch storage.Batch
	for line := range bytes.Lines(frozen) {
		var r struct {
			Kind, ID string
			Data     json.RawMessage
		}
		require.NoError(t, json.Unmarshal(line, &r))
		batch.Writes = append(batch.Writes, storage.Write{Key: storage.Key{Tenant: tenant, Kind: r.Kind, ID: r.ID}, Data: r.Data})
	}
	require.Len(t, batch.Writes, 3)
	got, err := o.store.Commit(t.Context(), []storage.Batch{batch})
	require.NoError(t, err)
	require.True(t, got[0].OK)

	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	res, err := svc.CompleteCheck(t.Context(), actor("li"), esign.CheckResponse{ID: "chk"})
	require.NoError(t, err)
	assert.Equal(t, identity.Result{Outcome: identity.Match, Method: identity.Carrier, Subject: identity.Person, Level: identity.I3,
		Provider: "registry", TxID: "tx-1", At: at, Expires: at.Add(identity.DefaultFreshness)}, res)
	res, err = svc.CompleteCheck(t.Context(), actor("li"), esign.CheckResponse{ID: "no"})
	require.NoError(t, err)
	assert.Equal(t, identity.NoMatch, res.Outcome)
	assert.Zero(t, o.people.Asked())

	o.buy(svc, "hr")
	o.sendRealName(svc, "e1")
	_, err = o.sign(svc, "e1", "li")
	require.NoError(t, err)
}
