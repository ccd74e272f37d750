package cms

import "github.com/emmansun/gmsm/sm3"

// SM3All appends the SM3 of each message to dst.
func SM3All(dst [][32]byte, list [][]byte) [][32]byte {
	for _, b := range list {
		dst = append(dst, sm3.Sum(b))
	}
	return dst
}
