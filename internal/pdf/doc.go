// Package pdf is the object layer under esign/pades: it reads PDF documents
// through an io.ReaderAt without loading them, and writes incremental updates
// to them. It knows objects, not signatures.
//
// Start with [Open], [Doc.Catalog], [Doc.Pages] and [Doc.Fields] for reading,
// [NewUpdate] for writing, [Doc.Revisions] and [Equal] for judging what changed
// between two states of a file.
//
// # Vocabulary
//
// A cross-reference section says where objects are; sections are chained from
// the newest to the oldest by /Prev. A revision is what one write of the file
// added; its end is its %%EOF. Offsets in this API are physical, counted from
// byte 0 of the file, whatever the offsets in the file count from.
//
// # Guarantees
//
// Memory does not depend on the size of the file but on what is asked for:
// objects are read when used, tables are addressed by arithmetic, what is kept
// is bounded by [Limits]. No input makes the package panic, hang or grow
// without bound. What is not understood survives a rewrite byte for byte. A
// [Doc] is for one goroutine at a time; any number may share one io.ReaderAt,
// whose content must not change below the size given.
//
// # Not promised
//
// Images are not decoded, nothing is rendered. Repair is for reading: a document
// that [Doc.Repaired] should not be signed.
package pdf
