package pades

import "errors"

// A Code names why an operation was refused or what a verdict rests on. It is
// an error itself: errors.Is(err, pades.ErrFieldSigned) matches any [Error]
// that carries the code. The strings are stable; programs print and store them.
type Code string

// Error returns the code's text, such as "FIELD_SIGNED".
func (c Code) Error() string { return string(c) }

// Codes of refusals. A refused operation has written nothing.
const (
	ErrUsage                 Code = "USAGE"                  // the request contradicts itself or the document
	ErrIO                    Code = "IO"                     // a reader or writer failed
	ErrNotPDF                Code = "NOT_PDF"                // the bytes are no PDF
	ErrMalformed             Code = "MALFORMED"              // damaged beyond what can be read safely
	ErrRepaired              Code = "REPAIRED"               // readable only after a repair, and not in one way only (R7)
	ErrLimit                 Code = "LIMIT"                  // a limit of R9 was reached
	ErrPasswordRequired      Code = "PASSWORD_REQUIRED"      // no password, or the wrong one
	ErrEncryptionUnsupported Code = "ENCRYPTION_UNSUPPORTED" // a handler we cannot read or write (R5)
	ErrFieldNotFound         Code = "FIELD_NOT_FOUND"        // no field of that name
	ErrFieldSigned           Code = "FIELD_SIGNED"           // the field holds a signature already (W7)
	ErrFieldLocked           Code = "FIELD_LOCKED"           // an earlier FieldMDP or Lock forbids it (W10)
	ErrMDPForbids            Code = "MDP_FORBIDS"            // an earlier DocMDP forbids it (W10)
	ErrCertifyNotFirst       Code = "CERTIFY_NOT_FIRST"      // only the first signature certifies (W8)
	ErrSeedValue             Code = "SEED_VALUE"             // a required seed value is not met (W9, V9)
	ErrKeyUnsupported        Code = "KEY_UNSUPPORTED"        // key or algorithm outside C2 and C3
	ErrKeyMismatch           Code = "KEY_MISMATCH"           // key and leaf certificate differ (C4)
	ErrContainerTooSmall     Code = "CONTAINER_TOO_SMALL"    // Contents cannot hold the CMS; see [Error.Need] (W4)
	ErrPrefixChanged         Code = "PREFIX_CHANGED"         // the document is not the one that was prepared (W12)
	ErrRevocationMissing     Code = "REVOCATION_MISSING"     // no usable OCSP response or CRL (C7)
	ErrTSAFailed             Code = "TSA_FAILED"             // the timestamp authority did not answer
	ErrTSAInvalid            Code = "TSA_INVALID"            // its token failed C8
	ErrNotSupported          Code = "NOT_SUPPORTED"          // a feature this version does not have
)

// Codes of verdicts, beside [ErrRepaired], [ErrPasswordRequired] and
// [ErrSeedValue], which occur there too.
const (
	ReasonFormatFailure        Code = "FORMAT_FAILURE"         // ByteRange, Contents or CMS break V1 to V5
	ReasonHashFailure          Code = "HASH_FAILURE"           // the bytes are not those that were signed
	ReasonSigCryptoFailure     Code = "SIG_CRYPTO_FAILURE"     // the signature value does not verify
	ReasonChangedAfterSigning  Code = "CHANGED_AFTER_SIGNING"  // later revisions changed more than they may
	ReasonMDPViolation         Code = "MDP_VIOLATION"          // a later change that DocMDP, FieldMDP or Lock forbids
	ReasonTrailingData         Code = "TRAILING_DATA"          // text after the last revision
	ReasonDuplicateField       Code = "DUPLICATE_FIELD"        // one dictionary, one field, one name is broken
	ReasonSignatureRemoved     Code = "SIGNATURE_REMOVED"      // a revision's signature is gone or repointed
	ReasonNoTrustAnchor        Code = "NO_TRUST_ANCHOR"        // no roots were given
	ReasonNoChain              Code = "NO_CHAIN"               // the certificate leads to none of the roots
	ReasonNoSigningCertificate Code = "NO_SIGNING_CERTIFICATE" // the signer's certificate is not there
	ReasonNotYetValid          Code = "NOT_YET_VALID"          // the certificate's life had not begun
	ReasonOutOfBoundsNoPOE     Code = "OUT_OF_BOUNDS_NO_POE"   // expired, and nothing proves an earlier signing
	ReasonRevoked              Code = "REVOKED"                // revoked before a time that provably precedes signing
	ReasonRevokedNoPOE         Code = "REVOKED_NO_POE"         // revoked, and nothing proves an earlier signing
	ReasonTryLater             Code = "TRY_LATER"              // revocation data named but not available
	ReasonAlgorithmWeak        Code = "ALGORITHM_WEAK"         // SHA-1, RSA below 2048
	ReasonAlgorithmUnsupported Code = "ALGORITHM_UNSUPPORTED"  // an algorithm this version cannot check
	ReasonTimestampInvalid     Code = "TIMESTAMP_INVALID"      // a timestamp that proves nothing
	ReasonTimestampOrder       Code = "TIMESTAMP_ORDER"        // times in an impossible order
	ReasonUnreadable           Code = "UNREADABLE"             // the document could not be opened
	ReasonNoSignature          Code = "NO_SIGNATURE"           // there is no signature
)

// An Error says which operation was refused and why. It unwraps to its Code
// and to the cause, so errors.Is works with both.
type Error struct {
	Code Code
	Op   string // "prepare", "finish", "sign", "verify", ...
	Err  error  // the cause; may be nil

	// Need is the size in bytes Contents would need, with ErrContainerTooSmall.
	Need int
}

// Error returns "pades: op: CODE: cause".
func (e *Error) Error() string {
	s := "pades: "
	if e.Op != "" {
		s += e.Op + ": "
	}
	s += string(e.Code)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the code and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Err}
}

// CodeOf returns the code of the outermost [Error] in err's tree, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
