package storage

import "runtime"

// A brokenStore stands for the answer of a store that panicked instead, or ended its
// goroutine, as testing's FailNow does in one made for a test. What the store was
// asked on a goroutine of a group resumes in all callers whose updates it was about.
type brokenStore struct {
	panicked any // nil: it ended its goroutine
}

var errExited = new(brokenStore)

// Error implements error.
func (*brokenStore) Error() string { return "storage: group: the store did not return" }

// resume does to the caller what the store did.
func (b *brokenStore) resume() {
	if b.panicked == nil {
		runtime.Goexit()
	}
	panic(b.panicked)
}

// unbroken calls a store, then tells done its error, however the call ended. It must
// be the last that its goroutine does.
func unbroken(call func() error, done func(error)) {
	var err error = errExited
	defer func() {
		if p := recover(); p != nil {
			err = &brokenStore{panicked: p}
		}
		done(err)
	}()
	err = call()
}

// apart calls a store on a goroutine of its own, which is the store's to end.
func apart(call func() error) error {
	done := make(chan error, 1)
	go unbroken(call, func(err error) { done <- err })
	return <-done
}
