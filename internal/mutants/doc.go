// Package mutants has no code of its own: its test changes the rules of quota
// and membership one at a time (a comparison flipped, an edge moved, a rounding
// turned, a sum made a difference) and expects a test of theirs to go red for
// each. It takes a quarter of an hour or more, so it runs only when asked for:
//
//	COUNTERSIGN_MUTANTS=1 go test -timeout 2h -v ./internal/mutants
//
// COUNTERSIGN_MUTANTS=quota/refund.go,settle.go is for some files, and
// COUNTERSIGN_MUTANTS_AGAIN for the mutants that a file lists, one a line, such as
// those that survived before. A change that no test notices must be explained in
// testdata: why nobody could. An explanation of a change that the sources do not
// allow any more fails always.
package mutants
