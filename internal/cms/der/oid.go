package der

import (
	"fmt"
	"strconv"
	"strings"
)

// An OID is an object identifier as the contents octets of its DER form, so
// that identifiers compare with ==. The zero value is no identifier.
type OID string

// MustOID returns the OID written as dotted decimals; it panics on anything
// else and is meant for constants.
func MustOID(dotted string) OID {
	o, err := ParseOID(dotted)
	if err != nil {
		panic(err)
	}
	return o
}

// ParseOID returns the OID written as dotted decimals.
func ParseOID(dotted string) (OID, error) {
	parts := strings.Split(dotted, ".")
	if len(parts) < 2 || len(dotted) > 128 {
		return "", fmt.Errorf("der: object identifier %q", dotted)
	}
	var out []byte
	var first uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil || i == 0 && n > 2 || i == 1 && first < 2 && n > 39 {
			return "", fmt.Errorf("der: object identifier %q", dotted)
		}
		switch i {
		case 0:
			first = n
		case 1:
			out = appendBase128(out, first*40+n)
		default:
			out = appendBase128(out, n)
		}
	}
	return OID(out), nil
}

func appendBase128(b []byte, n uint64) []byte {
	shift := 0
	for n>>shift > 0x7f {
		shift += 7
	}
	for ; shift > 0; shift -= 7 {
		b = append(b, byte(n>>shift)|0x80)
	}
	return append(b, byte(n)&0x7f)
}

// String returns the dotted form; arcs beyond 63 bits print as "?".
func (o OID) String() string {
	var out []byte
	var n uint64
	var size int
	for i := 0; i < len(o); i++ {
		n, size = n<<7|uint64(o[i]&0x7f), size+1
		if o[i]&0x80 != 0 {
			continue
		}
		switch {
		case size > 9:
			out = append(out, ".?"...)
		case out == nil:
			first := min(n/40, 2)
			out = strconv.AppendUint(out, first, 10)
			out = append(out, '.')
			out = strconv.AppendUint(out, n-first*40, 10)
		default:
			out = append(out, '.')
			out = strconv.AppendUint(out, n, 10)
		}
		n, size = 0, 0
	}
	return string(out)
}
