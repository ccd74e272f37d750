package storage_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/storage"
)

// TestCheckKeys_sees_every_byte proves that no position in a part hides a byte that
// the rule forbids, nor has one refused that it allows.
func TestCheckKeys_sees_every_byte(t *testing.T) {
	for n := 1; n <= storage.MaxKind; n++ {
		for at := range n {
			for _, c := range []string{"\x00", "\x01", "~", "\x7f", "\x80", "\xff", "é"} {
				part := strings.Repeat("k", at) + c + strings.Repeat("\x01", n-at-1)
				good := utf8.ValidString(part) && !strings.Contains(part, "\x00")
				for i, k := range []storage.Key{
					{Tenant: part, Kind: "k", ID: "1"},
					{Tenant: "t", Kind: part, ID: "1"},
					{Tenant: "t", Kind: "k", ID: part},
				} {
					if len(part) > storage.MaxKind {
						continue
					}
					for _, err := range []error{
						storage.CheckKeys(k),
						storage.CheckKeys(storage.Key{Tenant: "t", Kind: "k", ID: "0"}, k),
					} {
						if good {
							require.NoError(t, err, "%d %q", i, part)
						} else {
							require.ErrorIs(t, err, storage.ErrKey, "%d %q", i, part)
						}
					}
				}
			}
		}
	}
}
