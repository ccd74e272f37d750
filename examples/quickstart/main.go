// Command quickstart takes one contract through its whole life, in one process
// and without any service: a package of signing units bought, the contract sent
// to two signers, one-time codes, two real PDF signatures, units captured,
// evidence exported, and everything verified as a stranger would.
//
//	go run ./examples/quickstart [-pdf contract.pdf] [-dir out] [-at 2026-03-02T09:00:00Z]
//
// Certificates, timestamps and texts come from development stand-ins in this
// process: what it writes is trusted by nobody but the roots it writes along.
package main

import (
	"context"
	_ "embed"
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
		fmt.Fprintln(os.Stderr, "quickstart: unexpected argument")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, *pdf, *dir, *at); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

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
		if err != nil {
			return fmt.Errorf("-at: %w", err)
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
	s := &story{deployment: d, out: out, contract: contract, own: pdf != ""}
	return s.tell(ctx)
}
