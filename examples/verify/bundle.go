package main

import (
	"context"
	"fmt"
	"io"

	"github.com/countersign/countersign/esign/pades"
)

// verifyBundle judges an evidence bundle offline.
func verifyBundle(_ context.Context, _ options, _, stderr io.Writer) int {
	fmt.Fprintf(stderr, "verify: %s: bundles are not available in this version\n", pades.ErrNotSupported)
	return exitUnreadable
}
