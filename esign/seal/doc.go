// Package seal draws what a signature looks like: the round seal of a company
// (公章), a person's name seal (个人名章), a few lines of text.
//
// # Start here
//
// [Company], [Name], [Text] and [Hand] each return a PDF file of one page, whose page is
// exactly as large as the drawing. Such a file is what package esign/pades takes
// as Art: it becomes the appearance of a signature field. Neither package
// imports the other.
//
// # Vocabulary
//
//   - art: one page of PDF, drawn once, shown wherever a signature is
//   - official seal (公章): ring, star and name; a contract seal (合同专用章), finance
//     seal (财务专用章) and so on say below the star what they are for
//   - cross-page seal (骑缝章): one seal cut into a slice per page ([CrossPage])
//   - serial (印章编码): the number along the lower arc, given out by the police
//
// # What you get
//
// The same arguments always give the same bytes. Sizes are points (1/72 inch);
// [MM] is a millimetre. A name is never cut: its characters become narrower,
// then smaller. Company seals are 42 mm wide, those for a purpose 40 mm, name
// seals 18 mm, unless you say otherwise.
//
// Shapes are vectors. Text is set in the standard fonts Helvetica and
// STSong-Light, not embedded, so files are small and text stays text; rare
// ideographs of extension B and later are looked up in the standard fonts
// MSung-Light and HeiseiMin-W3. A character that none of them has is refused in
// seals with [ErrGlyph], and shown as 〓 in lines of text, so that nobody is kept
// from signing by a rare name.
//
// Errors never hold the text they refuse.
//
// # What the host must do
//
// Draw a seal only for whoever may use it: nothing here knows what a company is
// called. Keep seals as you keep the right to use them; the drawing proves
// nothing, the signature under it does.
//
// # What is not promised
//
// How a reader without a Chinese font shows text that is not embedded. Exact
// likeness to an engraved seal: ring, star and proportions follow common
// practice, not a photograph. Pictures keep their outline, in one colour of ink.
package seal
