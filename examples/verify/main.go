// Verify says what the signatures of a PDF prove, or what an evidence bundle
// proves.
//
//	go run ./examples/verify -in b.pdf [-roots roots.pem] [-password P] [-at RFC3339] [-json]
//	go run ./examples/verify -bundle f.esev [-keys keys] [-renewal f.er] [-at RFC3339] [-json]
//
// With -at a bundle's anchors must still prove at that time: by a certificate that
// lasts, or by a renewal that carries them on. Without, they prove for their own.
// -renewal is the evidence record (RFC 4998) that was handed out beside the bundle of
// an issued report.
//
// It exits 0 for PASSED, 1 for FAILED, 2 for INDETERMINATE and 3 where there is
// nothing to judge: wrong usage, an unreadable file, no signature. Build it to
// see the codes: "go run" itself exits 1 for all of them.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/countersign/countersign/esign/pades"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitUnreadable is for everything that leaves no verdict.
const exitUnreadable = 3

const help = `usage:
  verify -in b.pdf [-roots roots.pem] [-password P] [-at RFC3339] [-json]
  verify -bundle f.esev [-keys keys] [-renewal f.er] [-at RFC3339] [-json]
Exit 0 PASSED, 1 FAILED, 2 INDETERMINATE, 3 nothing to judge.
`

type options struct {
	in, bundle   string
	roots, keys  string
	renewal      string
	password, at string
	json         bool
	time         time.Time
}

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		return 0
	}
	if err != nil {
		line(stderr, "verify: %s: %v", pades.ErrUsage, err)
		return exitUnreadable
	}
	if o.bundle != "" {
		return verifyBundle(ctx, o, stdout, stderr)
	}
	return verifyPDF(ctx, o, stdout, stderr)
}

func parse(args []string) (o options, err error) {
	fs := flag.NewFlagSet("verify", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.in, "in", "", "the PDF to verify")
	fs.StringVar(&o.bundle, "bundle", "", "the evidence bundle to verify")
	fs.StringVar(&o.roots, "roots", "", "trusted certificates, PEM")
	fs.StringVar(&o.keys, "keys", "", "trust file for the bundle")
	fs.StringVar(&o.renewal, "renewal", "", "evidence record over the bundle's manifest")
	fs.StringVar(&o.password, "password", "", "the document's password")
	fs.StringVar(&o.at, "at", "", "the time to verify at, RFC 3339")
	fs.BoolVar(&o.json, "json", false, "print the report as JSON")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case (o.in == "") == (o.bundle == ""):
		return o, errors.New("one of -in and -bundle is required")
	case o.in != "" && (o.keys != "" || o.renewal != ""):
		return o, errors.New("-keys and -renewal go with -bundle")
	case o.bundle != "" && (o.roots != "" || o.password != ""):
		return o, errors.New("-bundle goes with -keys, -renewal, -at and -json only")
	}
	if o.at != "" {
		if o.time, err = time.Parse(time.RFC3339, o.at); err != nil {
			return o, fmt.Errorf("-at: %q is no RFC 3339 time", o.at)
		}
	}
	return o, nil
}

func verifyPDF(ctx context.Context, o options, stdout, stderr io.Writer) int {
	report, err := reportPDF(ctx, o)
	if err != nil {
		// What cannot be judged is still one object on stdout: a program that
		// asked for JSON reads no stderr.
		reason := pades.ReasonUnreadable
		report = &pades.Report{
			Verdict: pades.Indeterminate,
			Reasons: []pades.Code{reason},
		}
		if c := pades.CodeOf(err); c != "" {
			report.Reasons = append(report.Reasons, c)
		}
		line(stderr, "verify: %s: %v", reason, err)
	}
	if report.Signatures == nil {
		report.Signatures = []pades.SignatureReport{}
	}
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(report); err != nil {
			line(stderr, "verify: %s: %v", pades.ErrIO, err)
			return exitUnreadable
		}
	} else if err == nil {
		summary(stdout, o.in, report)
	}
	if len(report.Signatures) == 0 {
		return exitUnreadable
	}
	return exitCode(report.Verdict)
}

func reportPDF(ctx context.Context, o options) (*pades.Report, error) {
	var roots []*x509.Certificate
	if o.roots != "" {
		b, err := os.ReadFile(o.roots)
		if err != nil {
			return nil, err
		}
		if roots, err = pades.ParseCertificates(b); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(o.in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return pades.Verify(ctx, f, info.Size(), &pades.VerifyOptions{
		Open:  &pades.OpenOptions{Password: o.password},
		Roots: roots,
		At:    o.time,
	})
}

func exitCode(v pades.Verdict) int {
	switch v {
	case pades.Passed:
		return 0
	case pades.Failed:
		return 1
	default:
		return 2
	}
}
