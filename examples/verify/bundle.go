package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/evidence"
)

// verifyBundle judges an evidence bundle offline, and the signatures of the
// documents in it under the ca roots of the trust file.
func verifyBundle(ctx context.Context, o options, stdout, stderr io.Writer) int {
	report, err := reportBundle(ctx, o)
	if err != nil {
		line(stderr, "verify: %s: %v", pades.ReasonUnreadable, err)
		return exitUnreadable
	}
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(report); err != nil {
			line(stderr, "verify: %s: %v", pades.ErrIO, err)
			return exitUnreadable
		}
	} else {
		bundleSummary(stdout, o.bundle, report)
	}
	return exitCode(pades.Verdict(report.Verdict))
}

func reportBundle(ctx context.Context, o options) (*evidence.Report, error) {
	keys := &evidence.Trust{}
	if o.keys != "" {
		f, err := os.Open(o.keys)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if keys, err = evidence.ParseTrust(f); err != nil {
			return nil, err
		}
	}
	var renewal []byte
	if o.renewal != "" {
		var err error
		if renewal, err = os.ReadFile(o.renewal); err != nil {
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
	return evidence.Verify(f, info.Size(), &evidence.VerifyOptions{Keys: keys, At: o.time, Manifest: renewal,
		Document: func(_ string, r io.ReaderAt, size int64) (evidence.Verdict, error) {
			got, err := pades.Verify(ctx, r, size, &pades.VerifyOptions{Roots: keys.CA, At: o.time})
			if err != nil {
				return evidence.Failed, err
			}
			if len(got.Signatures) == 0 { // closed before anybody signed
				return evidence.Passed, nil
			}
			if got.Verdict == pades.Passed {
				return evidence.Passed, nil
			}
			return evidence.Verdict(got.Verdict), errors.New(strings.TrimSpace(list(got.Reasons)))
		}})
}

// bundleSummary prints a report for a person.
func bundleSummary(w io.Writer, name string, r *evidence.Report) {
	line(w, "%s: %s", name, r.Verdict)
	line(w, "  envelope %s of %s, log %s", orDash(r.Env), orDash(r.Tenant), orDash(r.Origin))
	line(w, "  events 1 to %d, chain %s, documents %s", r.Claim.Last, orDash(r.Claim.Kind), orDash(r.Claim.Docs))
	if r.FirstBad > 0 {
		line(w, "  first event that cannot be right: %d", r.FirstBad)
	}
	if n := len(r.Windows); n > 0 {
		line(w, "  last event recorded at %s, proved before %s", when(&r.Windows[n-1].At), when(&r.Windows[n-1].NotAfter))
	}
	for _, c := range r.Checks {
		if c.Verdict == evidence.Passed {
			continue
		}
		fmt.Fprintf(w, "  %s: %s", c.Code, c.Verdict)
		if c.Seq > 0 {
			fmt.Fprintf(w, ", event %d", c.Seq)
		}
		if c.Path != "" {
			fmt.Fprintf(w, ", %s", c.Path)
		}
		line(w, "%s", note(c.Detail))
	}
}
