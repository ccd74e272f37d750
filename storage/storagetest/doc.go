// Package storagetest is for those who write a store, and for those who test
// what is built on one: the conformance suites of [storage.Store] and
// [storage.Blobs], and stores that fail on purpose.
//
// # Start here
//
// The author of a store runs the suite on it:
//
//	func TestStore(t *testing.T) {
//		storagetest.TestStore(t, func(t *testing.T) storage.Store { return open(t.TempDir()) })
//	}
//
// [TestBlobs] does the same for blobs, and [TestReopen] for stores that outlive
// their process. When a store breaks a rule, the suite prints the sentence of
// the contract and what was seen.
//
// # Faults
//
// Every write can fail in two ways: it was not stored, or it was stored and the
// answer was lost. A scenario is run for every n under both:
//
//	count := storagetest.Count(new(storage.Mem))
//	scenario(count)
//	for n := 1; n <= count.Writes(); n++ {
//		s := new(storage.Mem)
//		scenario(storagetest.FailBefore(s, n)) // may fail with ErrInjected
//		scenario(s)                            // repeated: done, once
//	}
//
// [FailBefore] answers the n-th Commit with [ErrInjected] and stores nothing.
// [FailAfter] stores it and answers [storage.ErrUnknown]; storage.Update then
// looks for itself. [FailHalf] stores every other batch of it. [CrashBefore]
// and [CrashAfter] fail alike, and every later call fails too, as if the
// process had died: go on with the store underneath. [FailBlobsBefore] and
// [FailBlobsAfter] count Create and Delete. [Chaos] does all of it at random.
//
// # Guarantees
//
// Every function is safe for concurrent use. A suite opens a fresh store per
// rule; it needs neither network nor files of its own, and no test library.
//
// # What the host must do
//
// The function given to a suite returns a store that is empty and closes it
// with t.Cleanup.
//
// # Not promised
//
// Passing proves nothing about a machine that loses power: whether a store
// syncs what it acknowledges is for its own tests. Rules may be added in any
// release; a store that breaks one was broken before.
package storagetest
