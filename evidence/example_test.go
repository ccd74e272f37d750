package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"strings"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

func Example() {
	ctx := context.Background()
	store := new(storage.Mem)
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: store})
	if err != nil {
		panic(err)
	}
	_, key, err := ed25519.GenerateKey(nil) // production: a key service
	if err != nil {
		panic(err)
	}
	log, err := evidence.New(evidence.Config{LogSigner: key, Origin: "sign.example.com/log", Store: store, Vault: vault})
	if err != nil {
		panic(err)
	}

	pdf := []byte("%PDF-1.7 ...")
	phone, err := privacy.NewPhone("13800138000")
	if err != nil {
		panic(err)
	}
	li := privacy.Subject{Tenant: "acme", ID: "li"}
	for _, d := range []evidence.Draft{
		{Type: "envelope.created", Actor: evidence.Actor{ID: "hr", Account: "acme"}},
		{Type: "recipient.signed", Actor: evidence.Actor{ID: "li", Account: "li"},
			Docs:     []evidence.DocChange{{ID: "nda", Rev: 1, After: evidence.DigestsOf(pdf)}},
			Personal: []evidence.Personal{{Subject: li, Value: phone}}},
	} {
		d.Tenant, d.Env = "acme", "nda-17"
		if _, err := log.Append(ctx, d); err != nil {
			panic(err)
		}
	}
	if _, err := log.SealChain(ctx, evidence.SealDraft{Tenant: "acme", Env: "nda-17", Actor: evidence.Actor{ID: "system"}}); err != nil {
		panic(err)
	}

	var bundle bytes.Buffer
	_, err = log.Export(ctx, "acme", "nda-17", &bundle, &evidence.ExportOptions{
		Documents: []evidence.Document{{ID: "nda", Rev: 1, Body: bytes.NewReader(pdf), Size: int64(len(pdf))}}})
	if err != nil {
		panic(err)
	}

	// Elsewhere, years later, without store and network:
	trust, err := evidence.ParseTrust(strings.NewReader("log " + log.VerifierKey() + "\n"))
	if err != nil {
		panic(err)
	}
	file := bundle.Bytes()
	report, err := evidence.Verify(bytes.NewReader(file), int64(len(file)), &evidence.VerifyOptions{Keys: trust})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Verdict, report.Claim.Kind, report.Claim.Last)
	for _, c := range report.Checks {
		if c.Verdict != evidence.Passed {
			fmt.Println(c.Code) // no anchor: see TSA
		}
	}

	i := bytes.Index(file, []byte(`"id":"li"`))
	file[i+6] ^= 1 // "li" becomes "mi"
	report, err = evidence.Verify(bytes.NewReader(file), int64(len(file)), &evidence.VerifyOptions{Keys: trust})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Verdict, "event", report.FirstBad)
	// Output:
	// INDETERMINATE sealed 3
	// OPERATOR_UNBOUND
	// FAILED event 2
}

func ExampleParseTrust() {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	store := new(storage.Mem)
	vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: store})
	if err != nil {
		panic(err)
	}
	log, err := evidence.New(evidence.Config{LogSigner: key, Origin: "sign.example.com/log", Store: store, Vault: vault})
	if err != nil {
		panic(err)
	}
	_, err = evidence.ParseTrust(strings.NewReader("# the log we deal with\nlog " + log.VerifierKey() + "\n"))
	fmt.Println(err)
	_, err = evidence.ParseTrust(strings.NewReader("log sign.example.com\n"))
	fmt.Println(err)
	// Output:
	// <nil>
	// evidence: trust file: line 1: key
}

// A party keeps the receipt; whoever rewrites the past is caught by it.
func ExampleLog_Receipt() {
	ctx := context.Background()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	history := func(first string) (*evidence.Log, evidence.Receipt) {
		store := new(storage.Mem)
		vault, err := privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: store})
		if err != nil {
			panic(err)
		}
		log, err := evidence.New(evidence.Config{LogSigner: key, Origin: "sign.example.com/log", Store: store, Vault: vault})
		if err != nil {
			panic(err)
		}
		_, err = log.Append(ctx, evidence.Draft{Tenant: "acme", Env: "nda-17", Type: "envelope.created", Actor: evidence.Actor{ID: first}})
		if err != nil {
			panic(err)
		}
		if _, err := log.Sequence(ctx); err != nil {
			panic(err)
		}
		r, err := log.Receipt(ctx, "acme", "nda-17")
		if err != nil {
			panic(err)
		}
		return log, r
	}
	log, kept := history("hr")
	_, shown := history("somebody else") // the same key, another past

	trust, err := evidence.ParseTrust(strings.NewReader("log " + log.VerifierKey()))
	if err != nil {
		panic(err)
	}
	answer, err := evidence.Compare(kept, shown, &evidence.VerifyOptions{Keys: trust})
	fmt.Println(answer, err)
	// Output: conflict <nil>
}

func ExampleWriteReport() {
	bundle, err := os.ReadFile("testdata/vectors/bundles/sealed.esev")
	if err != nil {
		panic(err)
	}
	keys, err := os.Open("testdata/vectors/bundles/trust.txt")
	if err != nil {
		panic(err)
	}
	defer keys.Close()
	trust, err := evidence.ParseTrust(keys)
	if err != nil {
		panic(err)
	}
	var file bytes.Buffer
	err = evidence.WriteReport(&file, bytes.NewReader(bundle), int64(len(bundle)), &evidence.ReportOptions{
		Lang: evidence.LangEnglish, Number: "r-17", Kind: evidence.SigningReport, Verify: &evidence.VerifyOptions{Keys: trust}})
	fmt.Printf("%.8s %v\n", file.Bytes(), err)
	// Output: %PDF-1.7 <nil>
}
