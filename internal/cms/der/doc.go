// Package der reads ASN.1 as it occurs in signatures and writes it as DER.
//
// The reader takes BER (indefinite lengths, constructed strings, lengths with
// leading zeros), because signatures in the field are BER; it is bounded by
// [MaxSize] and [MaxDepth], allocates nothing for what it skips and never
// panics. The writer produces DER only.
//
// Start with [Parse] or [Read] and walk down with [Value.Enter]; write with a
// [Builder]. A [Cursor] remembers its first error, so a structure is read
// field by field and checked once, with [Cursor.Done] or [Cursor.Err].
//
// A [Value] aliases the bytes it was read from. The reader does not check that
// what it read is DER: callers that hash a structure use [Value.DER], and
// callers that need one byte form compare with what a Builder writes.
package der
