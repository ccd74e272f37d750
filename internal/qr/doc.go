// Package qr draws QR codes (ISO/IEC 18004): bytes at error correction level M,
// which survives a seventh of the symbol being lost, in versions 1 to 20. The
// same bytes always give the same symbol.
package qr
