package pades

import (
	"bytes"
	"errors"
	"io"

	"github.com/countersign/countersign/internal/cms"
)

const stateVersion = 1

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

// check refuses a state of other bytes than the first size of r.
func (s *State) check(op string, r io.ReaderAt, size int64) error {
	if s.Version != stateVersion || s.Size != size {
		return refusef(ErrPrefixChanged, op, "state is of %d bytes, the document has %d", s.Size, size)
	}
	tail, err := tailOf(r, size)
	if err != nil {
		return refuse(ErrIO, op, err)
	}
	if !bytes.Equal(tail, s.Tail) {
		return refuse(ErrPrefixChanged, op, errors.New("the document's end is not the state's"))
	}
	return nil
}

// saveState marshals digests over the first size bytes, whose tail is given.
func saveState(size int64, tail []byte, digests []running) (*State, error) {
	s := &State{Version: stateVersion, Size: size, Tail: tail, Digests: map[string][]byte{}}
	for _, h := range digests {
		b, err := cms.SaveHash(h.Hash)
		if err != nil {
			return nil, err
		}
		s.Digests[h.name] = b
	}
	return s, nil
}

// extend takes the state over more bytes, which end with a new tail.
func (s *State) extend(b, tail []byte) (*State, error) {
	next := &State{Version: stateVersion, Size: s.Size + int64(len(b)), Tail: tail, Digests: map[string][]byte{}}
	for name, saved := range s.Digests {
		h, err := cms.RestoreHash(name, saved)
		if err != nil {
			return nil, err
		}
		h.Write(b)
		if next.Digests[name], err = cms.SaveHash(h); err != nil {
			return nil, err
		}
	}
	return next, nil
}
