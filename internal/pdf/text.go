package pdf

// DecodeText returns the text of a text string: UTF-16 with a byte order mark,
// UTF-8 with one, else PDFDocEncoding (ISO 32000-2 7.9.2.2). Escape sequences
// for languages are removed.
func DecodeText(b []byte) string { return decodeText(b) }

// Text returns a text string: PDFDocEncoding if it can hold s, else UTF-16BE.
func Text(s string) String { return String{B: encodeText(s)} }
