package esign_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// TestRecordV1: a record written by version 1 of the schema is read whole. The
// file is frozen: it is never regenerated.
func TestRecordV1(t *testing.T) {
	frozen, err := os.ReadFile(filepath.Join("testdata", "envelope-v1.json"))
	require.NoError(t, err)
	var env esign.Envelope
	require.NoError(t, json.Unmarshal(frozen, &env))
	again, err := json.Marshal(env)
	require.NoError(t, err)
	assert.JSONEq(t, string(frozen), string(again))
	due := env.Due()
	assert.Equal(t, time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC), due)
	_, events, _, err := esign.Apply(env, esign.Command{Op: esign.OpSweep, By: esign.WhoSystem}, due)
	require.NoError(t, err)
	assert.Equal(t, "recipient.expired", events[0].Type)
}
