package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestContract: the sample that the repository ships is what this program
// writes.
func TestContract(t *testing.T) {
	want, err := os.ReadFile("../contract.pdf")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, contract()), "run go generate ./examples/quickstart/gen")
}
