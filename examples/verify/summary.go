package main

import (
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/esign/pades"
)

// summary prints a report for a person.
func summary(w io.Writer, name string, r *pades.Report) {
	fmt.Fprintf(w, "%s: %s%s\n", name, r.Verdict, list(r.Reasons))
	for i, s := range r.Signatures {
		fmt.Fprintf(w, "\n%d. %s: %s%s\n", i+1, s.Field, s.Verdict, list(s.Reasons))
		fmt.Fprintf(w, "   signer     %s\n", orDash(s.Signer))
		fmt.Fprintf(w, "   format     %s, %s, level %s\n", orDash(s.SubFilter), orDash(s.Algorithm), orDash(string(s.Profile)))
		fmt.Fprintf(w, "   time       claimed %s, proved %s\n", when(s.SigningTime), when(s.Timestamp))
		fmt.Fprintf(w, "   bytes      %s, covers %s\n", s.Integrity, s.Coverage)
		fmt.Fprintf(w, "   changes    %s\n", s.Changes)
		for _, c := range s.ChangeDetails {
			verb := "allowed"
			if !c.Allowed {
				verb = "NOT allowed"
			}
			fmt.Fprintf(w, "     revision +%d, object %d, %s: %s, %s%s\n", c.Revision, c.Object, orDash(c.Key), c.Class, verb, note(c.Note))
		}
		fmt.Fprintf(w, "   trust      %s\n", s.Trust)
		for _, text := range s.Warnings {
			fmt.Fprintf(w, "   warning    %s\n", text)
		}
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
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
