package quota

import (
	"encoding/json"

	"github.com/countersign/countersign/storage"
)

// Form is the [storage.Form] of what the ledger keeps in compact forms: accounts,
// holds, checkpoints, answers of settlements, and the entries of journals. With it
// [storage.Dump] prints them as JSON. It returns [storage.ErrCorrupt] for data that
// the ledger cannot have written.
func Form(key storage.Key, entry bool, data []byte) ([]byte, error) {
	r := storage.Record{Key: key, Version: 1, Data: data}
	var v any
	var err error
	switch {
	case entry && key.Kind == heads.Name:
		v, err = decodeEntry(data)
	case entry:
		return nil, nil
	case key.Kind == heads.Name:
		v, err = heads.Decode(r)
	case key.Kind == holds.Name:
		v, err = holds.Decode(r)
	case key.Kind == checkpoints.Name:
		v, err = checkpoints.Decode(r)
	case key.Kind == ops.Name:
		return storage.AnswerJSON(r, &settlements)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
