// Package tsp asks for and judges RFC 3161 timestamps.
//
// # Start here
//
// [NewRequest] and Request.Marshal make what is sent to an authority,
// [ParseResponse] takes the token out of its answer, and [Verify] decides
// whether that token proves that the imprint existed at its time. [Read] only
// reads; nothing it returns is proven.
//
// # Vocabulary
//
// Token: a CMS SignedData whose content is a TSTInfo. Imprint: the digest that
// was timestamped. genTime: the instant the authority states. Accuracy: how
// far that may be off, in either direction.
//
// # Guarantees
//
// Verify accepts a token only under every rule of pades.md C8: one
// SignerInfo; TSTInfo version 1; signature and message digest verified,
// always; the signer's certificate present or supplied, and bound by ESSCertID
// or ESSCertIDv2; its extended key usage critical and nothing but
// timeStamping; imprint, nonce and policy as asked; genTime within the
// certificate's life. With roots it also builds the chain at genTime. A
// refusal is an [*Error] with the rule's [Code]; all match [ErrInvalid].
//
// Input is bounded as in internal/cms. Everything is safe for concurrent use.
//
// # Not promised
//
// No network: the HTTP client is in esign/pades. Revocation of the authority's
// certificate and the strength of algorithms are the caller's policy. The
// [Responder] is for tests and the development authority; it keeps no log.
package tsp
