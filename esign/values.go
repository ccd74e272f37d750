package esign

import (
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/esign/identity"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

const (
	maxValue   = 4096 // bytes of a value
	maxPattern = 512  // bytes of a field's pattern
)

var number = regexp.MustCompile(`^-?[0-9]{1,15}(\.[0-9]{1,6})?$`)

// personal: the type asks for something that belongs to a person, so that no
// default can be kept with the envelope.
func (t FieldType) personal() bool { return t == FieldIDNumber || t == FieldPhone || t == FieldEmail }

// refuse says what is wrong with a value of the field, or "": no text of it
// quotes the value.
func (f *Field) refuse(v string) string {
	if len(v) > maxValue || !utf8.ValidString(v) {
		return "is too long or not text"
	}
	lines := f.Type == FieldMultiline || f.Type == FieldOpinion || f.Type == FieldRemark
	if strings.ContainsFunc(v, func(r rune) bool { return unicode.IsControl(r) && !(lines && r == '\n') }) {
		return "holds a control character"
	}
	if v == "" {
		return ""
	}
	ok := true
	switch f.Type {
	case FieldNumber:
		ok = number.MatchString(v)
	case FieldDate:
		_, err := time.Parse(time.DateOnly, v)
		ok = err == nil
	case FieldCheckbox:
		ok = v == "Yes" || v == "Off"
	case FieldIDNumber:
		_, err := identity.CheckIDNumber(v)
		ok = err == nil
	case FieldPhone:
		if strings.HasPrefix(v, "+") {
			ok = identity.CheckE164(v) == nil
			break
		}
		_, err := identity.CheckMobile(v)
		ok = err == nil
	case FieldEmail:
		_, err := privacy.NewEmail(v)
		ok = err == nil
	}
	if !ok {
		return "is no " + string(f.Type)
	}
	if f.Pattern != "" {
		if re, err := f.pattern(); err != nil || !re.MatchString(v) {
			return "does not match the field's pattern"
		}
	}
	return ""
}

// pattern is the field's pattern (RE2), which the whole value must match. RE2
// takes time linear in the value, so no pattern can be a trap.
func (f *Field) pattern() (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:` + f.Pattern + `)$`)
}

// values are what the signer fills in, checked, by document: what it gives, and
// the defaults of the fields that it leaves out.
func (e *Envelope) values(r *Recipient, given []FieldValue) (map[string][]FieldValue, error) {
	out := map[string][]FieldValue{}
	for i, v := range given {
		k := slices.IndexFunc(e.Fields, func(f Field) bool { return f.ID == v.Field && e.fills(r, &f) })
		if k < 0 {
			return nil, badField(at("values", i, "field"), "is no field of the signer's to fill now")
		}
		if slices.IndexFunc(given, func(o FieldValue) bool { return o.Field == v.Field }) < i {
			return nil, badField(at("values", i, "field"), "is given twice")
		}
		if why := e.Fields[k].refuse(v.Value); why != "" {
			return nil, badField(at("values", i, "value"), why)
		}
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		if !e.fills(r, f) {
			continue
		}
		k := slices.IndexFunc(given, func(v FieldValue) bool { return v.Field == f.ID })
		v := FieldValue{Field: f.ID, Value: f.Default}
		if k >= 0 {
			v = given[k]
		}
		// An empty box is no value: a required one must be ticked.
		if f.Required && (v.Value == "" || f.Type == FieldCheckbox && v.Value == "Off") {
			return nil, badField("fields["+f.ID+"]", "is required")
		}
		if k >= 0 || v.Value != "" {
			out[f.Document] = append(out[f.Document], v)
		}
	}
	return out, nil
}

// fills: the row completes the field when it signs.
func (e *Envelope) fills(r *Recipient, f *Field) bool {
	return f.Recipient == r.ID && !f.Fill && !f.Type.stamp()
}

// sealValues stands for what a signer fills in, in what its intent is bound to:
// nil if it fills in nothing. Values may be personal, so they count by their
// blind index.
func (s *Service) sealValues(env *Envelope, values map[string][]FieldValue) ([]byte, error) {
	h, n := sha256.New(), 0
	for _, d := range env.Documents {
		for _, v := range values[d.ID] {
			sum, err := s.veil(env.Tenant, v.Value)
			if err != nil {
				return nil, err
			}
			_, _ = h.Write([]byte(storage.JoinID(v.Field, "v"+sum) + "\n"))
			n++
		}
	}
	if n == 0 {
		return nil, nil
	}
	return h.Sum(nil), nil
}
