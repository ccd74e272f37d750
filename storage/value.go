package storage

import "context"

// UpdateValue is [Update] for a function with an answer: it returns that of the
// run which was committed, or the zero value with an error.
func UpdateValue[T any](ctx context.Context, s Store, fn func(*Tx) (T, error)) (T, error) {
	return UpdateValueWith(ctx, s, nil, fn)
}

// UpdateValueWith is [UpdateValue] with options; nil are the defaults.
func UpdateValueWith[T any](ctx context.Context, s Store, o *UpdateOptions, fn func(*Tx) (T, error)) (T, error) {
	return valueOf(fn, func(run func(*Tx) error) error { return UpdateWith(ctx, s, o, run) })
}

// ViewValue is [View] for a function with an answer: it returns that of the
// last run, or the zero value with an error.
func ViewValue[T any](ctx context.Context, s Store, fn func(*Tx) (T, error)) (T, error) {
	return valueOf(fn, func(run func(*Tx) error) error { return View(ctx, s, run) })
}

// valueOf is fn's answer in the last of its runs.
func valueOf[T any](fn func(*Tx) (T, error), do func(func(*Tx) error) error) (T, error) {
	var out T
	err := do(func(tx *Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	if err != nil {
		return *new(T), err // out is not read: its run may not have ended
	}
	return out, nil
}
