package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/countersign/countersign/esign/pades"
)

// line prints one line. What it says may come from the document, which must not
// begin lines of its own, turn the writing, or steer the terminal.
func line(w io.Writer, format string, a ...any) {
	fmt.Fprintln(w, strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return '\ufffd'
		}
		return r
	}, fmt.Sprintf(format, a...)))
}

// summary prints a report for a person.
func summary(w io.Writer, name string, r *pades.Report) {
	line(w, "%s: %s%s", name, r.Verdict, list(r.Reasons))
	for i, s := range r.Signatures {
		fmt.Fprintln(w)
		line(w, "%d. %s: %s%s", i+1, s.Field, s.Verdict, list(s.Reasons))
		line(w, "   signer     %s", orDash(s.Signer))
		line(w, "   format     %s, %s, level %s", orDash(s.SubFilter), orDash(s.Algorithm), orDash(string(s.Profile)))
		line(w, "   time       claimed %s, proved %s", when(s.SigningTime), when(s.Timestamp))
		line(w, "   bytes      %s, covers %s", s.Integrity, s.Coverage)
		line(w, "   changes    %s", s.Changes)
		for _, c := range s.ChangeDetails {
			verb := "allowed"
			if !c.Allowed {
				verb = "NOT allowed"
			}
			line(w, "     revision +%d, object %d, %s: %s, %s%s", c.Revision, c.Object, orDash(c.Key), c.Class, verb, note(c.Note))
		}
		line(w, "   trust      %s", s.Trust)
		for _, text := range s.Warnings {
			line(w, "   warning    %s", text)
		}
	}
	for _, text := range r.Warnings {
		line(w, "warning: %s", text)
	}
}

func list(codes []pades.Code) string {
	s := ""
	for _, c := range codes {
		s += " " + string(c)
	}
	return s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func note(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
