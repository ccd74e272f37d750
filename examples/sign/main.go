// Sign signs a PDF from the command line.
//
//	go run ./examples/sign -in a.pdf -out b.pdf [-key key.pem -cert chain.pem]
//	    [-alg ecdsa|rsa|rsapss|ed25519|sm2] [-profile b-b|b-t|b-lt|b-lta|cms]
//	    [-tsa URL] [-field NAME] [-reason S -location S -name S]
//	    [-certify 1|2|3] [-password P] [-page N -rect x1,y1,x2,y2 -text S] [-json]
//
// Without -key it makes a throw-away key of -alg with a self-signed
// certificate, which proves nothing to anybody. A refusal exits 2 with one line
// "sign: REASON_CODE: text" on stderr and leaves no output file.
package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/countersign/countersign/esign/pades"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const help = `usage:
  sign -in a.pdf -out b.pdf [-key key.pem -cert chain.pem]
       [-alg ecdsa|rsa|rsapss|ed25519|sm2] [-profile b-b|b-t|b-lt|b-lta|cms]
       [-tsa URL] [-field NAME] [-reason S -location S -name S]
       [-certify 1|2|3] [-password P] [-page N -rect x1,y1,x2,y2 -text S] [-json]
Exit 0 signed, 2 refused, with one line "sign: REASON_CODE: text".
`

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := sign(ctx, args, stdout)
	if err == nil {
		return 0
	}
	code, text := pades.ErrIO, err.Error()
	if e, ok := errors.AsType[*pades.Error](err); ok {
		code, text = e.Code, "refused"
		if e.Err != nil {
			text = e.Err.Error()
		}
	}
	fmt.Fprintf(stderr, "sign: %s: %s\n", code, oneLine(text))
	return 2
}

func sign(ctx context.Context, args []string, stdout io.Writer) error {
	opt, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprint(stdout, help)
		return err
	}
	if err != nil {
		return usage(err)
	}
	key, chain, err := credentials(opt)
	if err != nil {
		return err
	}
	in, err := os.Open(opt.in)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	spec := pades.Spec{
		Field:     opt.field,
		Profile:   opt.profile,
		Chain:     chain,
		Algorithm: opt.alg,
		Certify:   opt.certify,
		Info:      pades.Info{Name: opt.name, Reason: opt.reason, Location: opt.location},
		Open:      &pades.OpenOptions{Password: opt.password},
	}
	if spec.Stamp, err = stamp(ctx, in, info.Size(), opt); err != nil {
		return err
	}
	finish := &pades.FinishOptions{}
	if opt.tsa != "" {
		finish.Timestamper = &pades.TSA{URLs: []string{opt.tsa}}
	}
	if opt.profile == pades.ProfileBLT || opt.profile == pades.ProfileBLTA {
		// The addresses come from the caller's own chain, not from a document.
		finish.Revocation = &pades.Fetcher{InsecureAllowPrivate: true}
	}

	// The output appears under its name only when it is complete.
	out, err := os.CreateTemp(filepath.Dir(opt.out), ".sign-*.pdf")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	result, err := pades.Sign(ctx, in, info.Size(), out, spec, key, finish)
	if err != nil {
		return err
	}
	if err := out.Chmod(0o644); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), opt.out); err != nil {
		return err
	}
	if !opt.json {
		_, err = fmt.Fprintf(stdout, "%s: signed field %q, %d bytes\n", opt.out, result.Field, result.Size)
		return err
	}
	return json.NewEncoder(stdout).Encode(struct {
		Field       string          `json:"field"`
		Profile     pades.Profile   `json:"profile"`
		Algorithm   pades.Algorithm `json:"algorithm"`
		ByteRange   [4]int64        `json:"byte_range"`
		Size        int64           `json:"size"`
		Certificate string          `json:"certificate"`
	}{
		result.Field, result.Profile, result.Algorithm, result.ByteRange, result.Size,
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[0].Raw})),
	})
}

func usage(err error) error {
	return &pades.Error{Code: pades.ErrUsage, Op: "sign", Err: err}
}

// oneLine keeps the promise of one line on stderr, whatever a cause says.
func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return string(b)
}
