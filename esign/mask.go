package esign

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// What people type, and what lets them in, shows in no print, log or text.

var (
	_ fmt.Formatter  = FieldValue{}
	_ slog.LogValuer = FieldValue{}
	_ json.Marshaler = FieldValue{}
	_ fmt.Formatter  = Code{}
	_ slog.LogValuer = Code{}
	_ json.Marshaler = Code{}
	_ fmt.Formatter  = Proof{}
	_ slog.LogValuer = Proof{}
	_ json.Marshaler = Proof{}
)

// Format writes the field without its value, whatever the verb.
func (v FieldValue) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "{%s ***}", v.Field) }

// LogValue is the field without its value.
func (v FieldValue) LogValue() slog.Value { return slog.StringValue("{" + v.Field + " ***}") }

// MarshalJSON is the field without its value.
func (v FieldValue) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"field": v.Field, "value": "***"})
}

// Format writes the challenge without the code, whatever the verb.
func (c Code) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "{%s ***}", c.Challenge) }

// LogValue is the challenge without the code.
func (c Code) LogValue() slog.Value { return slog.StringValue("{" + c.Challenge + " ***}") }

// MarshalJSON is the challenge without the code.
func (c Code) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"Challenge": c.Challenge, "Code": "***"})
}

// Format writes no session, whatever the verb.
func (p Proof) Format(s fmt.State, _ rune) { fmt.Fprint(s, p.masked()) }

// LogValue holds no session.
func (p Proof) LogValue() slog.Value { return slog.StringValue(p.masked()) }

// MarshalJSON holds no session.
func (p Proof) MarshalJSON() ([]byte, error) { return json.Marshal(p.masked()) }

func (p Proof) masked() string {
	if p.Session == "" {
		return ""
	}
	return "***"
}
