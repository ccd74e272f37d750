package pdf

import "bytes"

var dictOpen = []byte("<<")

// Doubled reports whether some dictionary within o gives a key twice, which is
// not allowed and lets readers choose (ISO 32000-2 7.3.7). References are not
// followed.
func Doubled(o Object) bool { return doubled(o, 0) }

func doubled(o Object, depth int) bool {
	if depth > maxDepth {
		return true
	}
	switch v := o.(type) {
	case *Dict:
		if v.Repeated() {
			return true
		}
		if v.src != nil && !v.changed && !bytes.Contains(v.src[2:], dictOpen) {
			return false // no dictionary within
		}
		for _, e := range v.All() {
			if doubled(e, depth+1) {
				return true
			}
		}
	case *Array:
		if v.src != nil && !v.changed && !bytes.Contains(v.src, dictOpen) {
			return false
		}
		for _, e := range v.All() {
			if doubled(e, depth+1) {
				return true
			}
		}
	case *Stream:
		return doubled(v.Dict, depth+1)
	}
	return false
}

// Linearized returns the length of the file as its linearization dictionary
// says, 0 if it has none. Readers that find it right take the cross-reference
// section at the front of the file for the newest (ISO 32000-2 annex F).
func (d *Doc) Linearized() int64 {
	x, err := d.indirectAt(d.header, false)
	dict, ok := x.obj.(*Dict)
	if err != nil || !ok || !dict.Has("Linearized") {
		return 0
	}
	n, _ := dict.Get("L").(Int)
	return int64(n)
}
