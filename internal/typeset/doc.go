// Package typeset writes small PDF files: pages with lines, shapes and text in
// Chinese and English. The same calls always give the same bytes.
//
// No font is embedded. Latin text is set in Helvetica, all other in the standard
// CID font STSong-Light under the CMap UniGB-UTF16-H, which every reader with a
// Chinese font shows; so text is searched and extracted as it was written, and
// characters beyond the basic plane are surrogate pairs of one glyph.
package typeset
