// Package pades signs PDF documents and says what a signed one proves.
//
// # Start here
//
// [Sign] signs with a key in this process; [Prepare] and [Finish] sign with a
// key elsewhere, minutes or days apart. [Verify] judges a document. [Apply]
// adds and fills form fields, [Augment] adds timestamps and validation data.
// [CanSign], [Fields], [Pages] and [FindText] look without touching. [TSA] and
// [Fetcher] are the clients for the network; nothing else uses it.
//
// # Words
//
// A document is read through an [io.ReaderAt] with a size, so it may lie in
// pieces. It is a row of revisions: every change is an increment (增量更新)
// appended to bytes that never move. A signature covers all bytes up to the
// end of its own revision, but for its own value.
//
// An approval signature (签署) says yes; a certification signature (认证签名)
// is the first one and limits what later revisions may do (DocMDP). A Lock
// (字段锁定) freezes fields once its field is signed (FieldMDP). Profiles b-b,
// b-t, b-lt and b-lta are the baseline levels of ETSI EN 319 142-1: alone, with
// a timestamp (时间戳), with certificates and revocation data (吊销信息), and
// with a document timestamp over those, so that a signature outlives its
// certificate. The proof of existence is the earliest timestamp that holds.
//
// # Guarantees
//
// Old bytes are never rewritten. Form fields, outlines, metadata and unknown
// keys stay as they were. A later signature made here never breaks an earlier
// one: what would is refused. What cannot be done is refused with an [*Error]
// that carries a [Code], before the first byte is written. A damaged document is
// signed only where its repair leaves no choice; the new revision then holds a
// cross-reference section for every object, so that no reader has to repair it
// again, and [CanSign] says so. Memory holds the
// increment, not the document. All functions are safe for concurrent use, keep
// no globals, log nothing, and reach the network only through what the caller
// hands them.
//
// [Verify] gives four answers for each signature: are the bytes intact, how
// much do they cover, what did later revisions change, does the certificate
// lead to a root the caller trusts. The verdict follows from them and says why
// in codes. No roots given means that nobody is trusted. A certificate that
// names a source of revocation data is INDETERMINATE until there is some: in
// the document, or from a [RevocationSource]. A signature that does not bind its
// certificate by a signing-certificate attribute is of no baseline level
// (EN 319 142-1 6.3), warns of it, and is otherwise judged as any CMS signature:
// whoever asks for PAdES looks at the level, too.
//
// # What the host must do
//
// Choose roots, and keep them current. Keep [Prepared] and [State] as
// confidential as the document. Store the increments in order and compare and
// swap the last one: two signatures prepared on one revision exclude each
// other, and the second must be prepared again. Check the identity of whoever
// signs; this package only knows keys.
//
// # Not promised
//
// The claimed signing time, name, reason and place prove nothing. A document
// may show different things on different dates or devices through scripts,
// layers and external content; such a document passes if nobody changed it.
// Documents encrypted to certificates are refused. Rendering is not judged:
// the classes of change follow objects, not pixels. A timestamp authority must
// have been good when it stamped; whether it was compromised later is known
// only to whoever asks it. XFA forms are left as they are.
package pades
