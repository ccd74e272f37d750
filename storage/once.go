package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Once runs fn unless key already holds an answer, which it then returns: a
// call that is repeated under its id answers the same and changes nothing.
// intent is the request as given, or its [Intent]; another one under the same
// key is [ErrIntentMismatch]. If fn fails, its writes are taken back and
// nothing is kept, so that the call may be repeated. The answer is kept as JSON.
func Once[T any](tx *Tx, key Key, intent any, fn func() (T, error)) (T, error) {
	var answer T
	sum, ok := intent.([32]byte)
	if !ok {
		sum = Intent(intent)
	}
	want := hex.EncodeToString(sum[:])
	r, err := tx.one(key, true)
	if err != nil {
		return answer, err
	}
	if r.Version > 0 {
		var a answered
		if json.Unmarshal(r.Data, &a) != nil || a.Schema != onceSchema {
			return answer, fmt.Errorf("%w: %s is not a kept answer", ErrCorrupt, key.Kind)
		}
		if a.Intent != want {
			return answer, fmt.Errorf("%w: %s", ErrIntentMismatch, key.Kind)
		}
		if json.Unmarshal(a.Answer, &answer) != nil {
			var zero T
			return zero, fmt.Errorf("%w: answer of %s does not decode", ErrCorrupt, key.Kind)
		}
		return answer, nil
	}
	err = tx.Sub(func() error {
		var err error
		if answer, err = fn(); err != nil {
			return err
		}
		var b bytes.Buffer // answered, as JSON
		fmt.Fprintf(&b, `{"v":%d,"intent":"%s","answer":`, onceSchema, want)
		if err := encodeJSON(&b, answer); err != nil {
			return fmt.Errorf("storage: encode answer of %s: %w", key.Kind, err)
		}
		b.WriteByte('}')
		return tx.Create(key, b.Bytes(), time.Time{})
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return answer, nil
}

const onceSchema = 1

type answered struct {
	Schema int             `json:"v"`
	Intent string          `json:"intent"`
	Answer json.RawMessage `json:"answer"`
}

// Intent returns the SHA-256 of a request's JSON with members sorted by name.
// It covers what JSON shows: a field that masks itself there, as personal data
// does, must be represented by something that does not. A field added to a
// request later is tagged omitzero, so that stored intents still match. Intent
// panics if v has no JSON.
func Intent(v any) [32]byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("storage: Intent: " + err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // integers above 2^53 keep every digit
	var tree any
	if err := dec.Decode(&tree); err != nil {
		panic("storage: Intent: " + err.Error())
	}
	if raw, err = json.Marshal(tree); err != nil {
		panic("storage: Intent: " + err.Error())
	}
	return sha256.Sum256(raw)
}
