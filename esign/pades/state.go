package pades

// State lets the next signature of a document hash only what was added (W12).
// It holds marshalled digest states over all bytes up to Size, and with them
// up to 127 bytes of the document: keep it as confidential as the document.
// Size and Tail are checked on use; a State that does not fit is refused with
// [ErrPrefixChanged].
type State struct {
	Version int               `json:"version"` // 1
	Size    int64             `json:"size"`
	Tail    []byte            `json:"tail"`    // SHA-256 of the last 4 KiB before Size
	Digests map[string][]byte `json:"digests"` // "SHA-256", "SM3", ...: marshalled states
	Index   []byte            `json:"index,omitempty"`
}
