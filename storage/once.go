package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Once runs fn unless key already holds an answer, which it then returns: a
// call that is repeated under its id answers the same and changes nothing.
// intent is the request as given, or its [Intent]; another one under the same
// key is [ErrIntentMismatch]. If fn fails, its writes are taken back and
// nothing is kept, so that the call may be repeated. The answer is kept as JSON.
func Once[T any](tx *Tx, key Key, intent any, fn func() (T, error)) (T, error) {
	sum, ok := intent.([32]byte)
	if !ok {
		sum = Intent(intent)
	}
	return OnceWith(tx, key, sum, nil, fn)
}

// An Answer is how [OnceWith] keeps answers of one type in few bytes.
type Answer[T any] struct {
	// Append appends the form of v to b. Required.
	Append func(b []byte, v T) []byte
	// Decode reads it, or returns [ErrCorrupt]. It must not keep b. Required.
	Decode func(b []byte) (T, error)
}

// OnceWith is [Once] for answers that are kept in a form of their own; nil is
// JSON. The record begins with [AnswerMark], a schema of 1 and the intent. What
// was kept as JSON is read too.
func OnceWith[T any](tx *Tx, key Key, intent [32]byte, form *Answer[T], fn func() (T, error)) (answer T, err error) {
	s, err := tx.load1(key, false)
	if err != nil {
		return answer, err
	}
	s.seen, s.valid = true, true
	if s.exists() {
		r, err := s.full()
		if err != nil {
			return answer, err
		}
		return kept(r, intent, form)
	}
	sub, ok := tx.beginSub(), false
	defer func() { sub.end(ok) }() // a panic that fn's caller recovers from leaves no writes either
	var zero T
	if answer, err = fn(); err != nil {
		return zero, err
	}
	var data []byte
	if form == nil {
		if data, err = keepJSON(key, intent, answer); err != nil {
			return zero, err
		}
	} else {
		if err := tx.writable(key, nil); err != nil {
			return zero, err
		}
		data = tx.made(appendForm(tx.room(), intent, form, answer))
	}
	if err := tx.writable(key, data); err != nil {
		return zero, err
	}
	if err := tx.createAt(s, plan{data: data}); err != nil {
		return zero, err
	}
	ok = true
	return answer, nil
}

const onceSchema = 1

// AnswerMark is the first byte of an answer that [OnceWith] keeps in a form of
// its own.
const AnswerMark = 0x82

// kept reads an answer.
func kept[T any](r Record, intent [32]byte, form *Answer[T]) (answer T, err error) {
	var zero T
	sum, rest, err := keptIntent(r)
	switch {
	case err != nil:
		return zero, err
	case sum != intent:
		return zero, fmt.Errorf("%w: %s", ErrIntentMismatch, r.Key.Kind)
	case r.Data[0] != AnswerMark:
		err = json.Unmarshal(rest, &answer)
	case form != nil:
		answer, err = form.Decode(rest)
	default:
		err = ErrCorrupt
	}
	if err != nil {
		return zero, fmt.Errorf("%w: answer of %s does not decode", ErrCorrupt, r.Key.Kind)
	}
	return answer, nil
}

// keptIntent returns the intent of a kept answer, and the answer in its form.
func keptIntent(r Record) (sum [32]byte, answer []byte, err error) {
	if len(r.Data) > 2+len(sum) && r.Data[0] == AnswerMark && r.Data[1] == onceSchema {
		return [32]byte(r.Data[2:]), r.Data[2+len(sum):], nil
	}
	var a answered
	if json.Unmarshal(r.Data, &a) == nil && a.Schema == onceSchema && len(a.Intent) == 2*len(sum) {
		if _, err := hex.Decode(sum[:], []byte(a.Intent)); err == nil {
			return sum, a.Answer, nil
		}
	}
	return sum, nil, fmt.Errorf("%w: %s is not a kept answer", ErrCorrupt, r.Key.Kind)
}

// AnswerJSON returns what [OnceWith] kept in a form of its own as [Once] would
// have kept it: for exports, and for people. JSON is returned as it is.
func AnswerJSON[T any](r Record, form *Answer[T]) ([]byte, error) {
	sum, rest, err := keptIntent(r)
	if err != nil || r.Data[0] != AnswerMark {
		return r.Data, err
	}
	answer, err := form.Decode(rest)
	if err != nil {
		return nil, err
	}
	return keepJSON(r.Key, sum, answer)
}

// AnswerData is the reverse of [AnswerJSON], for imports: a record with a JSON
// answer in, the Data that [OnceWith] would have kept out.
func AnswerData[T any](r Record, form *Answer[T]) ([]byte, error) {
	sum, rest, err := keptIntent(r)
	if err != nil || r.Data[0] == AnswerMark {
		return r.Data, err
	}
	var answer T
	if json.Unmarshal(rest, &answer) != nil {
		return nil, fmt.Errorf("%w: answer of %s does not decode", ErrCorrupt, r.Key.Kind)
	}
	return appendForm(nil, sum, form, answer), nil
}

// appendForm appends an answer in a form of its own, as it is kept, to b.
func appendForm[T any](b []byte, intent [32]byte, form *Answer[T], answer T) []byte {
	return form.Append(append(append(b, AnswerMark, onceSchema), intent[:]...), answer)
}

// keepJSON is an answered, as JSON.
func keepJSON(key Key, intent [32]byte, answer any) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"v":%d,"intent":"%x","answer":`, onceSchema, intent)
	if err := encodeJSON(&b, answer); err != nil {
		return nil, fmt.Errorf("storage: encode answer of %s: %w", key.Kind, err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

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
