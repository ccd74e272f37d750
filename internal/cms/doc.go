// Package cms writes and verifies signatures as CMS SignedData (RFC 5652),
// for PDF signatures and timestamp tokens, and judges certificates.
//
// # Start here
//
// To sign: [New] with the signer's chain gives a [Template]. Its Attributes
// turns the content's digest (by the hash called Template.Digest) into signed
// attributes, ToSign into what a key signs, and Assemble makes the message.
// Template.MaxSize tells the room it needs before any key is asked.
//
// To verify: [Parse], then [SignedData.Verify] per SignerInfo with the digest
// of the content; [BuildChain] for the path to a root; [CheckOCSP] and
// [CheckCRL] for revocation. Each answers one question and none implies
// another.
//
// # Vocabulary
//
// Leaf: the signer's certificate. Chain: leaf first, then issuers. Detached:
// the content is not in the message; its digest is given. Unsigned attributes:
// what may be added later, such as a signature timestamp.
//
// # Guarantees
//
// Writing is DER, and equal input gives equal bytes. Reading takes BER, is
// bounded (4 MiB, nesting 64), and never panics. Algorithms follow from the
// leaf's public key, never from the signer's Go type. A digest is named
// "SHA-256", "SHA-384", "SHA-512" or "SM3"; readers also know SHA-1, SHA-224,
// SHA-3 and SHAKE256, Brainpool curves and Ed448. DSA, MD5 and RIPEMD are not
// read. Every function is safe for concurrent use; no value changes after
// it was returned.
//
// SM2 (GB/T 32918) signs under the identity 1234567812345678. It is computed
// by gmsm, whose types appear in no signature here.
//
// # Not promised
//
// The package fetches nothing and has no policy: weak digests and short keys
// verify on reading, and the caller decides what they are worth. Certificates
// named only by a signature, such as those embedded, are never trusted.
package cms
