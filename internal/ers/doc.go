// Package ers writes, renews and verifies evidence records (RFC 4998): chains of
// timestamps that outlive the certificates and the hash algorithms under which
// they began.
//
// A record covers one object. [Start] makes records of several objects under one
// timestamp, [FromToken] makes one of a token that is there already.
// [RenewTimestamps] adds a timestamp over the last one, before its certificate
// ends; [RenewHash] begins a chain under another hash over the object and all
// that came before, before the old hash is broken (§5.2). [Verify] checks all of
// it. A renewal of many records costs one timestamp: they share a hash tree.
//
// Read is DER in its one form, without encryption and crypto infos. Of a hash
// tree a list with one value stands for that value, as other implementations
// have it; none is written.
package ers
