// Package pagetext finds out which text stands where on the pages of a PDF
// document, for placing signatures by keyword.
//
// Start with [Reader.Find]; [Reader.Page] gives the lines of one page.
//
// It interprets content streams as far as text goes: text state, transformations,
// form XObjects. Codes become Unicode by the font's /ToUnicode, else by its
// encoding, by the predefined CMaps of Unicode and GBK, or by the character map
// of an embedded TrueType font. Characters are put in reading order by where
// they stand, not by where they occur in the content: glyphs to lines, lines to
// blocks, each direction of writing on its own.
//
// # Not promised
//
// Text that is a picture or outlines is not found. Text of fonts that say nothing
// of Unicode is not found. Appearances of annotations and form fields are not
// looked at. Two readers may differ on the order of text that is laid out freely.
package pagetext
