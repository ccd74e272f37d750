package quota

import (
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/storage"
)

// entrySchema is the version of stored entries.
const entrySchema = 1

type entryFrame struct {
	Schema int   `json:"v"`
	Data   Entry `json:"d"`
}

func encodeEntry(e Entry) ([]byte, error) {
	data, err := json.Marshal(entryFrame{entrySchema, e})
	if err != nil {
		return nil, fmt.Errorf("quota: encode entry: %w", err)
	}
	return data, nil
}

func decodeEntry(data []byte) (Entry, error) {
	var f entryFrame
	if json.Unmarshal(data, &f) != nil || f.Schema != entrySchema {
		return Entry{}, fmt.Errorf("%w: quota: entry does not decode", storage.ErrCorrupt)
	}
	return f.Data, nil
}
