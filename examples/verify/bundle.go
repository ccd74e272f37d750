package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
)

// verifyBundle judges an evidence bundle offline.
func verifyBundle(ctx context.Context, o options, stdout, stderr io.Writer) int {
	report, err := reportBundle(ctx, o)
	if err != nil {
		fmt.Fprintf(stderr, "verify: %s: %v\n", pades.ReasonUnreadable, err)
		return exitUnreadable
	}
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		err = enc.Encode(report)
	} else {
		err = bundleSummary(stdout, o.bundle, report)
	}
	if err != nil {
		fmt.Fprintf(stderr, "verify: %s: %v\n", pades.ErrIO, err)
		return exitUnreadable
	}
	return exitCode(pades.Verdict(report.Verdict))
}

func reportBundle(ctx context.Context, o options) (*evidence.Report, error) {
	var trust *evidence.Trust
	if o.keys != "" {
		f, err := os.Open(o.keys)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if trust, err = evidence.ParseTrust(f); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(o.bundle)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var roots []*x509.Certificate
	if trust != nil {
		roots = append(append(roots, trust.CA...), trust.TSA...)
	}
	return evidence.Verify(f, info.Size(), &evidence.VerifyOptions{
		Keys: trust,
		Document: func(_ string, r io.ReaderAt, size int64) (evidence.Verdict, error) {
			return checkDocument(ctx, r, size, roots)
		},
	})
}

// checkDocument judges the signatures of one document of a bundle. What has
// none is bound by the bundle's digests alone.
func checkDocument(ctx context.Context, r io.ReaderAt, size int64, roots []*x509.Certificate) (evidence.Verdict, error) {
	report, err := pades.Verify(ctx, r, size, &pades.VerifyOptions{Roots: roots})
	switch {
	case errors.Is(err, pades.ErrNotPDF):
		return evidence.Passed, nil
	case err != nil:
		return evidence.Indeterminate, err
	case len(report.Signatures) == 0:
		return evidence.Passed, nil
	}
	if report.Verdict == pades.Passed {
		return evidence.Passed, nil
	}
	for _, s := range report.Signatures {
		if s.Verdict == report.Verdict {
			return evidence.Verdict(report.Verdict), fmt.Errorf("signature %q: %s%s", s.Field, s.Verdict, list(s.Reasons))
		}
	}
	return evidence.Verdict(report.Verdict), fmt.Errorf("%s%s", report.Verdict, list(report.Reasons))
}

// bundleSummary prints a report for a person.
func bundleSummary(w io.Writer, name string, r *evidence.Report) error {
	_, err := fmt.Fprintf(w, "%s: %s\n", name, r.Verdict)
	if r.Env != "" {
		fmt.Fprintf(w, "envelope   %s of %s\n", r.Env, r.Tenant)
	}
	if r.FirstBad != 0 {
		fmt.Fprintf(w, "first event that cannot be right: %d\n", r.FirstBad)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(w, "%-14s %s", c.Verdict, c.Code)
		if c.Seq != 0 {
			fmt.Fprintf(w, ", event %d", c.Seq)
		}
		if c.Path != "" {
			fmt.Fprintf(w, ", %s", c.Path)
		}
		if c.Detail != "" {
			fmt.Fprintf(w, ": %s", c.Detail)
		}
		fmt.Fprintln(w)
	}
	return err
}
