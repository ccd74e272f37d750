// Package identity says who a signer is and whether they mean to sign.
//
// # Start here
//
// [Evaluate] judges what somebody has shown against a [Requirement]; it is pure
// and needs nothing. [Service.Start] has a claim compared with an authoritative
// source through a [Verifier]. CheckIDNumber, CheckCreditCode and the other
// checks find what cannot be true before anybody is paid for saying so.
//
// # Vocabulary
//
//   - identity, real name (实名): who somebody is, I0 to I4 ([Level])
//   - intent (意愿认证): that they mean it, W0 to W3 ([Strength]); a second axis,
//     never mixed with the first (T14)
//   - method: one way of checking, with what it gives at best ([Method])
//   - claim: what somebody says they are; flow: a check under way; result: what
//     it came to. All three are values
//   - outcome: match, no match, unavailable, pending (T17). Unavailable is never a
//     mismatch
//   - binding: the documents an intent result was given for ([Bind])
//   - gate: who counts, pays and remembers ([Gate]); package esign is one
//
// # Guarantees
//
//   - Order of a check: consent, age, form, attempts, unit, source. What fails
//     earlier costs nothing and reaches nobody (T42, T50, P21, H40, H41).
//   - The same claim under the same key is one call and one charge, whenever a
//     process dies.
//   - A mismatch tells the caller nothing but that: not which field differed, nor
//     whether the person exists.
//   - A source that claims more than its method gives, or answers nonsense, is
//     Unavailable.
//   - Five attempts a person, method and day; three mismatches in a row wait an
//     hour.
//   - Matches of I2 and above hold 365 days. An intent result fits its documents
//     and no others.
//   - A face is never the only way ([ErrFaceOnly]).
//   - No certificate is asked for but through [NewCertRequest], which wants a
//     fresh match under the very name (T11).
//
// Everything is safe for concurrent use. Nothing personal is in a Flow, a
// Result or an error.
//
// # What the host must do
//
// Bring verifiers: this package has none but for tests (package identitytest)
// and a development authority (package devca). Obtain the person's consent,
// naming the source, before a check. Keep results as long as the law wants the
// evidence, and no image of a face at all.
//
// # What is not promised
//
// Local checks judge the form of a number, not that it was ever given out. The
// word of a source is its own. Handwriting proves no intent by itself.
package identity
