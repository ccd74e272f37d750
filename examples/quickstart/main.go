// Command quickstart takes one contract through its whole life, in one process
// and without any service: a package of signing units bought, the contract sent
// to two signers, one-time codes, two real PDF signatures, units captured,
// evidence exported, and everything verified as a stranger would.
//
//	go run ./examples/quickstart [-pdf contract.pdf] [-dir out] [-at 2026-03-02T09:00:00Z]
//
// It exits 0 when everything verified, 1 when something failed, and 2 for wrong
// usage. Build it to see the codes: "go run" itself exits 1 for both.
//
// Certificates, timestamps and texts come from development stand-ins in this
// process: what it writes is trusted by nobody but the roots it writes along.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

//go:embed contract.pdf
var sample []byte

func main() {
	pdf := flag.String("pdf", "", "contract to sign, a PDF `file`; the sample that comes along without it")
	dir := flag.String("dir", "", "`folder` to work in; a fresh temporary one without it")
	at := flag.String("at", "", "`instant` to begin at, RFC 3339; now without it")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "quickstart: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, *pdf, *dir, *at); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// errUsage is the class of what the caller wrote wrong.
var errUsage = errors.New("wrong usage")

func run(ctx context.Context, out io.Writer, pdf, dir, at string) error {
	contract := sample
	if pdf != "" {
		var err error
		if contract, err = os.ReadFile(pdf); err != nil {
			return err
		}
	}
	now := time.Now
	if at != "" {
		begin, err := time.Parse(time.RFC3339, at)
		if err != nil || begin.UTC().Year() < 1970 || begin.UTC().Year() > 9000 {
			return fmt.Errorf("%w: -at: %q is no RFC 3339 time of the years 1970 to 9000", errUsage, at)
		}
		started := time.Now()
		now = func() time.Time { return begin.Add(time.Since(started)) }
	}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "countersign-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := deploy(dir, now)
	if err != nil {
		return err
	}
	defer d.close()
	s := &story{deployment: d, out: out, contract: contract, pdf: pdf, set: at != ""}
	return s.tell(ctx)
}
