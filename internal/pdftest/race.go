//go:build race

package pdftest

// slowdown is what the race detector costs at most.
const slowdown = 12
