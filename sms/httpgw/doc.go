// Package httpgw sends texts through a provider that takes JSON over HTTP, by a
// mapping table instead of code.
//
// Start with [Gateway], a literal: where the number and the text go in the
// request, where id and code stand in the answer, and what each code means.
//
// What the table does not say is Unknown, and an Unknown text is never sent
// again, so a missing code costs a text and never sends two. Read the provider's
// list before you write "ok" beside anything. Each submission is one request:
// no retry, no redirect, at most 256 KiB of answer.
//
// Credentials in Header stand in the process in the clear; use https. Receipts
// are not mapped: a provider with receipts wants an adapter of its own.
package httpgw
