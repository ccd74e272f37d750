package storage_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

type job struct {
	Name string    `json:"name"`
	At   time.Time `json:"at,omitzero"`
}

var jobs = storage.Kind[job]{Name: "t.job", Schema: 2, Due: func(j job) time.Time { return j.At }}

func TestKind(t *testing.T) {
	s, at := new(storage.Mem), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, ok, err := jobs.Get(tx, "acme", "1")
		require.NoError(t, err)
		assert.False(t, ok)
		_, version, err := jobs.Peek(tx, "acme", "1")
		require.NoError(t, err)
		assert.Zero(t, version)
		require.NoError(t, jobs.Create(tx, "acme", "1", job{Name: "a<b & 契", At: at}))
		require.NoError(t, jobs.Create(tx, "acme", "x", job{}))
		v, version, err := jobs.Peek(tx, "acme", "1")
		require.NoError(t, err)
		assert.Equal(t, job{Name: "a<b & 契", At: at}, v)
		assert.Equal(t, uint64(1), version)
		return nil
	}))
	r := get(t, s, jobs.Key("acme", "1"))
	assert.Equal(t, `{"v":2,"d":{"name":"a<b & 契","at":"2026-01-02T03:04:05Z"}}`, string(r.Data))
	assert.Equal(t, at, r.Due)
	var names []string
	for item, err := range jobs.Scan(t.Context(), s, "acme", "") {
		require.NoError(t, err)
		names = append(names, item.ID+item.Value.Name)
		assert.Equal(t, uint64(1), item.Version)
	}
	assert.Equal(t, []string{"1a<b & 契", "x"}, names)
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error { return jobs.Delete(tx, "acme", "1") }))
	assert.Zero(t, get(t, s, jobs.Key("acme", "1")).Version)
}

func TestKindDecode(t *testing.T) {
	for name, data := range map[string]string{
		"empty": "", "no frame": `{"name":"x"}`, "newer": `{"v":3,"d":{}}`, "schema 0": `{"v":0,"d":{}}`,
		"no value": `{"v":2}`, "other type": `{"v":2,"d":{"name":7}}`, "cut": `{"v":2,"d":{"name":"x"`,
	} {
		v, err := jobs.Decode(storage.Record{Data: []byte(data)})
		require.ErrorIs(t, err, storage.ErrCorrupt, name)
		assert.Equal(t, name == "newer", errors.Is(err, storage.ErrNewer), name)
		assert.Zero(t, v)
		assert.NotContains(t, err.Error(), "x\"", "the error quotes the value")
	}
	v, err := jobs.Decode(storage.Record{Data: []byte(`{"v":1,"d":{"name":"old","more":1}}`)})
	require.NoError(t, err)
	assert.Equal(t, "old", v.Name)

	upgraded := jobs
	upgraded.Upgrade = func(schema int, data []byte) (job, error) {
		var old struct{ Title string }
		err := json.Unmarshal(data, &old)
		if old.Title == "" {
			err = errors.New("no title")
		}
		return job{Name: old.Title}, err
	}
	v, err = upgraded.Decode(storage.Record{Data: []byte(`{"v":1,"d":{"title":"t"}}`)})
	require.NoError(t, err)
	assert.Equal(t, "t", v.Name)
	_, err = upgraded.Decode(storage.Record{Data: []byte(`{"v":1,"d":{}}`)})
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

func TestOnce(t *testing.T) {
	s, k := new(storage.Mem), key("op")
	runs := 0
	once := func(intent any, fail error) (answer job, err error) {
		err = storage.Update(t.Context(), s, func(tx *storage.Tx) error {
			answer, err = storage.Once(tx, k, intent, func() (job, error) {
				runs++
				if err := tx.Put(key("effect"), []byte("x"), time.Time{}); err != nil {
					return job{}, err
				}
				return job{Name: "done"}, fail
			})
			return err
		})
		return answer, err
	}
	mine := errors.New("mine")
	_, err := once("a", mine)
	assert.Same(t, mine, err)
	assert.Zero(t, get(t, s, k).Version, "a failure stuck")
	for range 3 {
		answer, err := once("a", nil)
		require.NoError(t, err)
		assert.Equal(t, "done", answer.Name)
	}
	_, err = once(storage.Intent("a"), mine) // answered before: not run
	require.NoError(t, err)
	assert.Equal(t, 2, runs)
	_, err = once("b", nil)
	require.ErrorIs(t, err, storage.ErrIntentMismatch)
	assert.Equal(t, uint64(1), get(t, s, key("effect")).Version)
}

// A caller that goes on after a failed Once commits none of its writes.
func TestOnceTakesBackTheWritesOfAFailure(t *testing.T) {
	s := new(storage.Mem)
	require.NoError(t, storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, err := storage.Once(tx, key("op"), nil, func() (int, error) {
			return 0, errors.Join(tx.Create(key("effect"), nil, time.Time{}), errors.New("mine"))
		})
		require.Error(t, err)
		return tx.Create(key("other"), nil, time.Time{})
	}))
	assert.Zero(t, get(t, s, key("effect")).Version)
	assert.NotZero(t, get(t, s, key("other")).Version)
}

func TestOnceOverSomethingElse(t *testing.T) {
	s := new(storage.Mem)
	put(t, s, key("op"), "not an answer")
	err := storage.Update(t.Context(), s, func(tx *storage.Tx) error {
		_, err := storage.Once(tx, key("op"), nil, func() (int, error) { return 0, nil })
		return err
	})
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

func TestIntent(t *testing.T) {
	type request struct {
		B int64  `json:"b"`
		A string `json:"a"`
	}
	// Members sort, so the order of fields does not matter; big integers count to the last digit.
	assert.Equal(t, storage.Intent(request{B: 1, A: "x"}), storage.Intent(map[string]any{"a": "x", "b": 1}))
	assert.NotEqual(t, storage.Intent(request{B: 1 << 60}), storage.Intent(request{B: 1<<60 + 1}))
	assert.NotEqual(t, storage.Intent(request{A: "x"}), storage.Intent(request{A: "x "}))
	assert.Panics(t, func() { storage.Intent(func() {}) })
	// Frozen: stored intents must match for ever.
	sum := storage.Intent(request{B: 7, A: "契<"})
	assert.Equal(t, "e0077b11a3502a16949e86c622ad02fa060fa07ec349a493cb6314b1b186fc2e", storage.Hex(sum[:]).String())
}
