package esign_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
)

// BenchmarkApply signs as the last but one of n parallel signers.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{2, 20, 200} {
		b.Run(fmt.Sprint("signers=", n), func(b *testing.B) {
			var rows []esign.Recipient
			for i := range n {
				rows = append(rows, signer(fmt.Sprint("s", i), 1+i/10))
			}
			w := sent(b, draft(rows...))
			w.open("s0")
			c := w.signing("s0")
			b.ReportAllocs()
			for b.Loop() {
				_, _, _, err := esign.Apply(w.env, c, w.now)
				require.NoError(b, err)
			}
		})
	}
}
