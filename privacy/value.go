package privacy

import (
	"context"
	"crypto/subtle"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"strings"
)

// A Field names what a value is to its subject: phone, name. It is 1 to 32
// characters of a-z, 0-9 and _, as it stands in events and commitments.
type Field string

// The fields with a type of their own; hosts may add theirs, with a [Text].
const (
	FieldName      Field = "name"
	FieldPhone     Field = "phone"
	FieldEmail     Field = "email"
	FieldIDNumber  Field = "id_number"
	FieldBankCard  Field = "bank_card"
	FieldIP        Field = "ip"
	FieldAddress   Field = "address"
	FieldLocation  Field = "location"
	FieldBiometric Field = "biometric"
	FieldText      Field = "text"
	// FieldForwarded and FieldUserAgent hold a [Text]: the chain of forwarded
	// addresses, and what the client calls itself. Both are personal (P10).
	FieldForwarded Field = "forwarded"
	FieldUserAgent Field = "user_agent"
)

// Valid reports whether f is well formed.
func (f Field) Valid() bool {
	if len(f) == 0 || len(f) > 32 {
		return false
	}
	for i := range len(f) {
		c := f[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// A Class grades data by the harm its loss does.
type Class string

const (
	ClassPublic    Class = "C0" // public: credit codes
	ClassPseudonym Class = "C1" // ids and digests
	ClassPersonal  Class = "C2" // name, phone, mail, IP, user agent, address
	ClassSensitive Class = "C3" // ID number, bank card, location
	ClassBiometric Class = "C4" // biometrics, handwriting dynamics
)

// A Value is one piece of personal data: [Name], [Phone], [Email], [IDNumber],
// [BankCard], [IP], [Address], [Location], [Biometric] or [Text]; no other
// package can add one.
//
// It renders masked under every verb of fmt, in slog, JSON, text and XML. gob,
// encoding.BinaryMarshaler and database/sql get [ErrClear], and decoding a
// masked text is [ErrMasked]. The clear text sits behind a func, so that what
// walks unexported fields meets an address and no digits. Values are not
// comparable with ==; use [Equal].
type Value interface {
	fmt.Formatter
	slog.LogValuer
	// Field is the field this type is made for; the zero value has none.
	Field() Field
	// Class is the harm class of the type.
	Class() Class
	// Masked is what people without a purpose may see.
	Masked() string
	// IsZero reports whether there is nothing in it.
	IsZero() bool
	// Reveal returns the clear text once the access is on record. A value that
	// the vault revealed answers for the purpose it was revealed for; any
	// other value commits an access entry through the accessor of ctx first,
	// so it must not be called inside storage.Update. It fails with
	// [ErrNoAccessor], [ErrPurpose] or the error of the commit.
	Reveal(ctx context.Context, why Purpose) (string, error)

	clearText() string
	granted(why Purpose) Value
}

// Equal reports whether a and b are of one type and hold the same text,
// without saying by its duration where they differ.
func Equal(a, b Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Field() == b.Field() && subtle.ConstantTimeCompare([]byte(a.clearText()), []byte(b.clearText())) == 1
}

// cell carries one clear text and renders it masked. The funcs hide their
// captured strings from everything that prints, dumps or encodes by reflection.
type cell struct {
	get  func() string
	show func() string
	why  Purpose // granted by the vault; empty: every reveal is recorded
	of   Field
}

func newCell(of Field, s string, mask func(string) string) cell {
	return cell{get: func() string { return s }, show: func() string { return mask(s) }, of: of}
}

func (c cell) clearText() string {
	if c.get == nil {
		return ""
	}
	return c.get()
}

// Field is the field the type is made for; the zero value has none.
func (c cell) Field() Field { return c.of }

// Class is the harm class of the type.
func (c cell) Class() Class {
	switch c.of {
	case FieldIDNumber, FieldBankCard, FieldLocation:
		return ClassSensitive
	case FieldBiometric:
		return ClassBiometric
	}
	return ClassPersonal
}

// IsZero reports whether the value is the zero value.
func (c cell) IsZero() bool { return c.get == nil }

// Masked returns the masked form, which is safe to show and log.
func (c cell) Masked() string {
	if c.show == nil {
		return ""
	}
	return c.show()
}

// String returns the masked form.
func (c cell) String() string { return c.Masked() }

// GoString returns the masked form.
func (c cell) GoString() string { return c.Masked() }

// Format writes the masked form whatever the verb; width and - are obeyed and
// %q quotes it.
func (c cell) Format(s fmt.State, verb rune) {
	out := c.Masked()
	if verb == 'q' {
		out = fmt.Sprintf("%q", out)
	}
	w, ok := s.Width()
	pad := ""
	if n := len([]rune(out)); ok && n < w {
		pad = strings.Repeat(" ", w-n)
	}
	if s.Flag('-') {
		out, pad = out+pad, ""
	}
	_, _ = s.Write([]byte(pad + out))
}

// LogValue is the masked form.
func (c cell) LogValue() slog.Value { return slog.StringValue(c.Masked()) }

// MarshalText is the masked form; JSON and XML use it too.
func (c cell) MarshalText() ([]byte, error) { return []byte(c.Masked()), nil }

// MarshalBinary refuses with [ErrClear].
func (c cell) MarshalBinary() ([]byte, error) { return nil, ErrClear }

// GobEncode refuses with [ErrClear].
func (c cell) GobEncode() ([]byte, error) { return nil, ErrClear }

// Value refuses with [ErrClear]: a database column is no vault.
func (c cell) Value() (driver.Value, error) { return nil, ErrClear }

// Reveal returns the clear text once the access is on record.
func (c cell) Reveal(ctx context.Context, why Purpose) (string, error) {
	if c.get == nil {
		return "", ErrNotFound
	}
	if c.why != "" {
		if c.why != why {
			return "", ErrPurpose
		}
		return c.get(), nil
	}
	if err := recordLoose(ctx, c.of, why); err != nil {
		return "", err
	}
	return c.get(), nil
}
