// Package devca is a certificate authority for development and tests: it lets
// a program sign, timestamp and verify on a machine with nothing but Go.
//
// # Start here
//
// [NewInsecure] makes an authority. [CA.NewSigner] gives a key with its chain,
// [CA.Leaf] certifies a key or a certificate request that exists already,
// [CA.Timestamp] is a timestamp authority in process, and [CA.Roots] is what a
// verifier must be told to trust. The authority itself is an http.Handler for
// OCSP, CRLs, certificates and timestamps.
//
// # Vocabulary
//
// Root → issuing → leaf: the chain of every certificate. The issuing
// authority also certifies the timestamp authority and the OCSP responder.
//
// # Guarantees
//
// Every subject ends in "TEST ONLY". Asking twice for the same name and key
// gives the same certificate. An authority restored from its PEM has the same
// roots, keys, leaves and revocations. All methods are safe for concurrent use.
//
// # What the host must do
//
// Keep the result of [CA.MarshalPEM] if the authority is to outlive the
// process; it holds private keys in the clear. Set [Options.URL] only if the
// handler is served there: certificates then name it as their revocation
// source, and verifiers will ask.
//
// # Not promised
//
// No security at all: nobody's identity is checked, keys lie in memory and in
// files, and nothing is audited. A certificate from here proves nothing to
// anybody who did not make the root himself. Production uses a licensed
// authority (电子认证服务机构) behind identity.CertificateAuthority.
package devca
