package pades

import "crypto/x509"

// Prepared is a revision complete but for its signature value. It marshals to
// JSON, holds no key and no document, and may wait for days. Treat it as
// confidential as the document: Next holds up to 127 of its bytes.
type Prepared struct {
	Version    int       `json:"version"` // 1
	Size       int64     `json:"size"`    // of the document before Increment
	Tail       []byte    `json:"tail"`    // SHA-256 of the last 4 KiB before Increment
	Increment  []byte    `json:"increment"`
	ByteRange  [4]int64  `json:"byte_range"`
	Profile    Profile   `json:"profile"`
	Algorithm  Algorithm `json:"algorithm"`
	GMT        bool      `json:"gmt,omitempty"`
	Hash       string    `json:"hash"`       // of Digest: "SHA-256", "SHA-384", "SHA-512", "SM3"
	Digest     []byte    `json:"digest"`     // over the byte range
	Attributes []byte    `json:"attributes"` // DER SET OF the signed attributes
	ToSign     []byte    `json:"to_sign"`    // hash of Attributes; Ed25519: Attributes; SM2: SM3(ZA || Attributes)
	Chain      [][]byte  `json:"chain"`      // DER, leaf first
	Field      string    `json:"field"`
	Next       *State    `json:"next,omitempty"`
}

// A Signature is what came back from whoever holds the key: one of the two.
type Signature struct {
	Raw []byte // signature value: PKCS#1 or PSS, ASN.1 r and s, Ed25519
	CMS []byte // DER of a detached SignedData
}

// A Result is a finished revision. The new document is the old one followed by
// Increment.
type Result struct {
	Increment []byte
	Size      int64    // of the new document
	ByteRange [4]int64 // zero where nothing was signed
	Field     string   // the field that was signed
	Profile   Profile
	Algorithm Algorithm
	State     *State // for Spec.Resume; nil = not offered
}

// FinishOptions supply what levels above B-B need. Nil means none of it.
type FinishOptions struct {
	Timestamper Timestamper         // Required from B-T up
	Revocation  RevocationSource    // asked from B-LT up for what the CMS does not carry
	Roots       []*x509.Certificate // end the chains whose data B-LT collects

	// SelfCheck verifies the signature value against the leaf even where it
	// comes from a key in this process.
	SelfCheck bool
}

// AugmentOptions supply what raising a level needs.
type AugmentOptions struct {
	Open        *OpenOptions
	Timestamper Timestamper      // Required for b-t and b-lta
	Revocation  RevocationSource // nil = only what the document holds
	Roots       []*x509.Certificate
	VRI         bool // also write /VRI, which few readers need
}

// ApplyOptions say how [Apply] reads and what it hands back.
type ApplyOptions struct {
	Open   *OpenOptions
	Resume *State   // as Spec.Resume
	Keep   []string // as Spec.Keep
}

// A Preflight is what [CanSign] foresees. No refusals means that [Prepare]
// with the same Spec succeeds on these bytes.
type Preflight struct {
	Refusals []*Error
	Warnings []*Error
}

// A Field is a form field of a document.
type Field struct {
	Name   string // full name, parts joined by "."
	Type   string // FieldSignature, FieldText, ...; "" = a kind we do not know
	Page   int    // of its first widget; 0 = on no page
	Rect   [4]float64
	Value  string // text fields, and the state of check boxes
	Lock   *Lock
	Seed   *Seed
	Signed bool
	Locked bool // by an earlier signature's FieldMDP or Lock
}

// A Page is the geometry of a page. Boxes are x1, y1, x2, y2 in points.
type Page struct {
	Media, Crop [4]float64
	Rotate      int // 0, 90, 180 or 270, clockwise
}

// A Match is an occurrence of a text: one rectangle per line it runs over.
type Match struct {
	Page  int // 1-based
	Rects [][4]float64
}
