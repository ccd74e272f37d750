package pades

import (
	"context"
	"crypto/x509"
	"time"
)

// A Profile is a level of a signature. The zero value is B-B.
type Profile string

// Profiles, from a plain signature to one that outlives its certificates.
const (
	ProfileBB   Profile = "b-b"   // PAdES baseline: signature alone
	ProfileBT   Profile = "b-t"   // with a signature timestamp
	ProfileBLT  Profile = "b-lt"  // with certificates and revocation data in /DSS
	ProfileBLTA Profile = "b-lta" // with a document timestamp over those
	ProfileCMS  Profile = "cms"   // adbe.pkcs7.detached, as older readers expect
)

// An Algorithm is a signature algorithm together with the digest that C2 and
// C3 fix for the key. The zero value follows the leaf's key.
type Algorithm string

// Algorithms. ECDSA means P-256 with SHA-256, P-384 with SHA-384 or P-521 with
// SHA-512; RSA and RSA-PSS use SHA-256; SM2 uses SM3.
const (
	ECDSA   Algorithm = "ecdsa"
	RSA     Algorithm = "rsa"
	RSAPSS  Algorithm = "rsapss"
	Ed25519 Algorithm = "ed25519"
	SM2     Algorithm = "sm2"
)

// A Spec says what to sign and how. The zero value, but for Chain, asks for an
// invisible approval signature at level B-B.
type Spec struct {
	Field     string              // "" = the only empty signature field, else a new "SignatureN"
	Profile   Profile             // "" = ProfileBB
	Chain     []*x509.Certificate // Required. Leaf first
	Algorithm Algorithm           // "" = by the leaf's key
	Certify   int                 // 0 = approval; 1, 2, 3 = certification with that DocMDP P
	Lock      *Lock               // FieldMDP; nil = the field's own /Lock
	Info      Info                // who, why, where and when
	Edit      Edit                // written in the same revision, before the signature
	Stamp     *Stamp              // this field's appearance; nil = invisible, or an empty field's own rectangle left blank
	Open      *OpenOptions        // nil = no password, default limits
	Resume    *State              // from the previous Result; nil = read the whole prefix (W12)
	Keep      []string            // further digest states to hand back: "SHA-256", "SM3"
	GMT       bool                // SM2 in the form of GM/T 0010 (GB/T 35275) instead of the international one
}

// Info goes into the signature dictionary, where anyone can read it: it is
// claimed by the signer and proves nothing.
type Info struct {
	Name, Reason, Location, Contact string
	Time                            time.Time // zero = now
}

// An Edit adds and fills form fields and draws stamps.
type Edit struct {
	Fields []NewField
	Values []Value
	Stamps []Stamp
}

// Kinds of a [Stamp].
const (
	AsWidget     = "widget"     // the appearance of the signature's own widget
	AsAnnotation = "annotation" // a stamp annotation
	AsContent    = "content"    // drawn into the page itself
)

// A Stamp puts Art on a page. In an Edit it must not come after a signature
// that it would break; [CanSign] names those.
type Stamp struct {
	Page int        // 1-based; 0 = where the field's widget is, else page 1
	Rect [4]float64 // x1, y1, x2, y2 in points, in default user space; zero = the existing widget's
	Art  []byte     // a PDF of one page, fitted to Rect; nil with a visible Rect = an empty box
	As   string     // "" = AsWidget in a Spec, AsAnnotation in an Edit
}

// A Value fills a field: text, the name of a check box's or radio button's
// state, or for a push button only its look (Art).
type Value struct {
	Field, Value string
	Art          []byte // a PDF of one page; nil = drawn from Value
}

// Types of a [NewField] and a [Field].
const (
	FieldSignature = "signature"
	FieldText      = "text"
	FieldButton    = "button"   // push button: only a look
	FieldCheckbox  = "checkbox" // values "Yes" and "Off"
	FieldRadio     = "radio"    // read and filled, not created
	FieldChoice    = "choice"   // read and filled, not created
)

// A NewField is a form field to create. A zero Rect makes it invisible.
type NewField struct {
	Name, Type string
	Page       int        // 1-based; 0 = 1
	Rect       [4]float64 // x1, y1, x2, y2 in points
	Multiline  bool       // text only
	Size       float64    // font size of a text field; 0 = fitted to Rect
	Lock       *Lock      // signature only
	Seed       *Seed      // signature only
}

// Actions of a [Lock].
const (
	LockAll     = "All"
	LockInclude = "Include"
	LockExclude = "Exclude"
)

// A Lock names the fields that no one may change once its signature is made.
type Lock struct {
	Action string   // LockAll, LockInclude or LockExclude
	Fields []string // full names; a name covers the fields below it
	P      int      // 0 = none; 1, 2, 3 = what else may change, as with Spec.Certify
}

// A Seed constrains who signs a field and how. Everything in it is required of
// the signer: an entry that is not met refuses with [ErrSeedValue].
type Seed struct {
	SubFilters []string // such as "ETSI.CAdES.detached"
	Digests    []string // such as "SHA256"
	Reasons    []string
	Certify    int  // 1, 2, 3 = must certify so; 0 = not constrained
	Timestamp  bool // a timestamp is required
}

// OpenOptions say how to read a document. Nil means no password and the
// default limits.
type OpenOptions struct {
	Password string // user's or owner's
	Limits   Limits

	// InsecureSignRepaired signs a document that could be read only after a
	// repair even where another reader's repair may find something else, or where
	// it is signed already. Without it only a repair that leaves no choice is
	// signed. Either way a whole new cross-reference section is written (R7).
	InsecureSignRepaired bool
}

// Limits bound what a document may make the reader do (R9). A zero field takes
// the default named with it.
type Limits struct {
	Nesting   int   // of arrays and dictionaries; 100
	Revisions int   // length of the /Prev chain; 4096
	TreeDepth int   // of page and field trees; 64
	Stream    int64 // inflated bytes of one stream; 64 MiB
	CMS       int64 // bytes of one signature; 4 MiB
}

// A Timestamper obtains an RFC 3161 token over a digest. [TSA] is one.
//
// Timestamp gets the digest's name ("SHA-256", "SM3") and value and returns the
// DER of a TimeStampToken. Callers check the token (C8); an implementation need
// not.
type Timestamper interface {
	Timestamp(ctx context.Context, digest string, sum []byte) (token []byte, err error)
}

// A RevocationSource obtains revocation data for cert, which issuer signed. A
// nil result without an error means that there is none of that kind. Callers
// check what comes back.
type RevocationSource interface {
	OCSP(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error)
	CRL(ctx context.Context, cert, issuer *x509.Certificate) ([]byte, error)
}
