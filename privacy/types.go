package privacy

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The types of personal data. The zero value of each holds nothing.
type (
	// A Name is the name of a person or a contact.
	Name struct{ cell }
	// A Phone is a telephone number: 11 digits of the mainland, or + and 7 to
	// 15 digits.
	Phone struct{ cell }
	// An Email is one address without a display name.
	Email struct{ cell }
	// An IDNumber is the number of an identity document (身份证件号码).
	IDNumber struct{ cell }
	// A BankCard is a card number of 12 to 19 digits.
	BankCard struct{ cell }
	// An IP is the address of a peer.
	IP struct{ cell }
	// An Address is a postal address.
	Address struct{ cell }
	// A Location is where a device says it is; stored only with consent (P11).
	Location struct{ cell }
	// A Biometric is a face image, a voice or the dynamics of handwriting.
	Biometric struct{ cell }
	// A Text is any other personal text: a user agent, a chain of addresses.
	Text struct{ cell }
)

var (
	_ Value = Name{}
	_ Value = Phone{}
	_ Value = Email{}
	_ Value = IDNumber{}
	_ Value = BankCard{}
	_ Value = IP{}
	_ Value = Address{}
	_ Value = Location{}
	_ Value = Biometric{}
	_ Value = Text{}
)

// NewName takes 1 to 128 printable characters without surrounding space. As all
// constructors of values it fails with [ErrInvalid], or with [ErrMasked] for what a
// mask made; neither quotes the text.
func NewName(s string) (Name, error) {
	if err := text(FieldName, s, 128); err != nil {
		return Name{}, err
	}
	return Name{newCell(FieldName, s, maskName)}, nil
}

// NewPhone takes a number with or without +86 or 0086, spaces and hyphens; the
// stored form is 11 digits for the mainland, + and digits for all others.
func NewPhone(s string) (Phone, error) {
	if strings.Contains(s, "*") {
		return Phone{}, ErrMasked
	}
	d := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(s)
	if rest, ok := strings.CutPrefix(d, "00"); ok {
		d = "+" + rest
	}
	if rest, ok := strings.CutPrefix(d, "+86"); ok && len(rest) == 11 {
		d = rest
	}
	num, foreign := strings.CutPrefix(d, "+")
	switch {
	case !digits(num):
	case foreign && len(num) >= 7 && len(num) <= 15 && num[0] != '0':
		return Phone{newCell(FieldPhone, d, maskPhone)}, nil
	case !foreign && len(num) == 11 && num[0] == '1' && num[1] >= '3':
		return Phone{newCell(FieldPhone, d, maskPhone)}, nil
	}
	return Phone{}, invalid(FieldPhone)
}

// NewEmail takes local@domain; the domain is lowered.
func NewEmail(s string) (Email, error) {
	if err := text(FieldEmail, s, 254); err != nil {
		return Email{}, err
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(local) > 64 || !strings.Contains(domain, ".") ||
		strings.ContainsAny(s, " <>,;\"") || strings.Contains(domain, "@") ||
		strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
		return Email{}, invalid(FieldEmail)
	}
	return Email{newCell(FieldEmail, local+"@"+strings.ToLower(domain), maskEmail)}, nil
}

// NewIDNumber takes 5 to 20 letters and digits, raised to upper case. Whether a
// resident number is formed by GB 11643 is for esign/identity to check.
func NewIDNumber(s string) (IDNumber, error) {
	if strings.Contains(s, "*") {
		return IDNumber{}, ErrMasked
	}
	u := strings.ToUpper(s)
	if len(u) < 5 || len(u) > 20 {
		return IDNumber{}, invalid(FieldIDNumber)
	}
	for i := range len(u) {
		if c := u[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return IDNumber{}, invalid(FieldIDNumber)
		}
	}
	return IDNumber{newCell(FieldIDNumber, u, maskID)}, nil
}

// NewBankCard takes 12 to 19 digits, spaces ignored.
func NewBankCard(s string) (BankCard, error) {
	if strings.Contains(s, "*") {
		return BankCard{}, ErrMasked
	}
	d := strings.ReplaceAll(s, " ", "")
	if len(d) < 12 || len(d) > 19 || !digits(d) {
		return BankCard{}, invalid(FieldBankCard)
	}
	return BankCard{newCell(FieldBankCard, d, maskCard)}, nil
}

// NewIP takes an IPv4 or IPv6 address; a mapped one is unmapped, a zone dropped.
func NewIP(s string) (IP, error) {
	a, err := netip.ParseAddr(s)
	if err != nil { // its text quotes s
		return IP{}, invalid(FieldIP)
	}
	return IP{newCell(FieldIP, a.Unmap().WithZone("").String(), maskIP)}, nil
}

// NewAddress takes 1 to 512 printable characters.
func NewAddress(s string) (Address, error) {
	if err := text(FieldAddress, s, 512); err != nil {
		return Address{}, err
	}
	return Address{newCell(FieldAddress, s, maskAddress)}, nil
}

// NewLocation takes degrees, north and east positive, kept to six decimals.
func NewLocation(lat, lon float64) (Location, error) {
	if !(lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180) { // refuses NaN too
		return Location{}, invalid(FieldLocation)
	}
	return Location{newCell(FieldLocation, fmt.Sprintf("%.6f,%.6f", lat, lon), maskAll)}, nil
}

// NewBiometric takes up to 512 KiB of any bytes.
func NewBiometric(b []byte) (Biometric, error) {
	if len(b) == 0 || len(b) > 512<<10 {
		return Biometric{}, invalid(FieldBiometric)
	}
	return Biometric{newCell(FieldBiometric, string(b), maskAll)}, nil
}

// NewText takes 1 to 1024 bytes of UTF-8 without control characters.
func NewText(s string) (Text, error) {
	if err := text(FieldText, s, 1024); err != nil {
		return Text{}, err
	}
	return Text{newCell(FieldText, s, maskAll)}, nil
}

// Strict is the shortest mask of an identity number: its ends.
func (n IDNumber) Strict() string { return maskEnds(n.clearText(), 1, 1) }

// Prefix is the network an address is in, /24 or /48: what limits and logs may
// use.
func (a IP) Prefix() string { return a.Masked() }

func (v Name) granted(why Purpose) Value      { v.why = why; return v }
func (v Phone) granted(why Purpose) Value     { v.why = why; return v }
func (v Email) granted(why Purpose) Value     { v.why = why; return v }
func (v IDNumber) granted(why Purpose) Value  { v.why = why; return v }
func (v BankCard) granted(why Purpose) Value  { v.why = why; return v }
func (v IP) granted(why Purpose) Value        { v.why = why; return v }
func (v Address) granted(why Purpose) Value   { v.why = why; return v }
func (v Location) granted(why Purpose) Value  { v.why = why; return v }
func (v Biometric) granted(why Purpose) Value { v.why = why; return v }
func (v Text) granted(why Purpose) Value      { v.why = why; return v }

// UnmarshalText reads a name in the clear; a masked one is [ErrMasked].
func (v *Name) UnmarshalText(b []byte) error { return into(v, b, NewName) }

// UnmarshalText reads a number in the clear; a masked one is [ErrMasked].
func (v *Phone) UnmarshalText(b []byte) error { return into(v, b, NewPhone) }

// UnmarshalText reads an address in the clear; a masked one is [ErrMasked].
func (v *Email) UnmarshalText(b []byte) error { return into(v, b, NewEmail) }

// UnmarshalText reads a number in the clear; a masked one is [ErrMasked].
func (v *IDNumber) UnmarshalText(b []byte) error { return into(v, b, NewIDNumber) }

// UnmarshalText reads a number in the clear; a masked one is [ErrMasked].
func (v *BankCard) UnmarshalText(b []byte) error { return into(v, b, NewBankCard) }

// UnmarshalText reads an address in the clear; a masked one is [ErrMasked].
func (v *IP) UnmarshalText(b []byte) error {
	if strings.Contains(string(b), "/") {
		return ErrMasked
	}
	return into(v, b, NewIP)
}

// UnmarshalText reads an address in the clear; a masked one is [ErrMasked].
func (v *Address) UnmarshalText(b []byte) error { return into(v, b, NewAddress) }

// UnmarshalText reads a text in the clear; a masked one is [ErrMasked].
func (v *Text) UnmarshalText(b []byte) error { return into(v, b, NewText) }

func into[T any](v *T, b []byte, parse func(string) (T, error)) error {
	if len(b) == 0 {
		*v = *new(T)
		return nil
	}
	p, err := parse(string(b))
	if err != nil {
		return err
	}
	*v = p
	return nil
}

// restore rebuilds a value that the vault stored; it was valid once, so only
// its type is looked at.
func restore(of Field, s string) (Value, error) {
	switch of {
	case FieldName:
		return Name{newCell(of, s, maskName)}, nil
	case FieldPhone:
		return Phone{newCell(of, s, maskPhone)}, nil
	case FieldEmail:
		return Email{newCell(of, s, maskEmail)}, nil
	case FieldIDNumber:
		return IDNumber{newCell(of, s, maskID)}, nil
	case FieldBankCard:
		return BankCard{newCell(of, s, maskCard)}, nil
	case FieldIP:
		return IP{newCell(of, s, maskIP)}, nil
	case FieldAddress:
		return Address{newCell(of, s, maskAddress)}, nil
	case FieldLocation:
		return Location{newCell(of, s, maskAll)}, nil
	case FieldBiometric:
		return Biometric{newCell(of, s, maskAll)}, nil
	case FieldText:
		return Text{newCell(of, s, maskAll)}, nil
	}
	return nil, fmt.Errorf("%w: unknown type of value", ErrInvalid)
}

func invalid(f Field) error { return fmt.Errorf("%w: %s", ErrInvalid, f) }

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func text(f Field, s string, limit int) error {
	// A user agent may well say */*; the mask of a Text is one word only.
	if f == FieldText && s == "***" || f != FieldText && strings.Contains(s, "*") {
		return ErrMasked
	}
	if s == "" || len(s) > 4*limit || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit || strings.TrimSpace(s) != s {
		return invalid(f)
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return invalid(f)
		}
	}
	return nil
}
