// Package pagetext finds out which text stands where on the pages of a PDF
// document, for placing signatures by keyword.
//
// Start with [NewReader] and [Reader.Find]; [Reader.Page] gives the lines of one
// page.
//
// # How text is read
//
// Content streams are interpreted as far as text goes: text state,
// transformations, form XObjects. Codes become Unicode by the font's
// /ToUnicode, else by its encoding, by the predefined CMaps of Unicode and GBK,
// or by the character map of an embedded TrueType font. Characters are put in
// reading order by where they stand, not by where they occur in the content:
// glyphs to lines, lines to blocks, each direction of writing on its own,
// upright text of the page as shown first.
//
// # Guarantees
//
// Rectangles are in default user space, the space of /MediaBox and of annotation
// rectangles, whatever the rotation of the page. They span a glyph's advance and
// its font's ascent and descent. What one page may cost is bounded; beyond it
// is a LIMIT error. A font or form that cannot be read is passed over, a page
// that cannot be read is an error.
//
// # Not promised
//
// Text that is a picture or outlines is not found, nor text of fonts that say
// nothing of Unicode, among them those of predefined CMaps for Japanese, Korean
// and Big5 bytes. Appearances of annotations and form fields are not looked at.
// Two readers may differ on the order of text that is laid out freely.
package pagetext
