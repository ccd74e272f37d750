//go:build !race

package pdftest

const slowdown = 1
