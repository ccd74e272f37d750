package pades_test

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"log"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
)

// Sign with a key in this process, and verify under the authority's root.
func ExampleSign() {
	ctx := context.Background()
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	key, chain, err := ca.NewSigner(ctx, "Zhang San")
	if err != nil {
		log.Fatal(err)
	}
	doc := formDoc().classic()
	var signed bytes.Buffer
	res, err := pades.Sign(ctx, bytes.NewReader(doc), int64(len(doc)), &signed, pades.Spec{
		Chain:   chain,
		Profile: pades.ProfileBT,
		Info:    pades.Info{Name: "Zhang San", Reason: "I agree"},
	}, key, &pades.FinishOptions{Timestamper: ca})
	if err != nil {
		log.Fatal(err)
	}
	report, err := pades.Verify(ctx, bytes.NewReader(signed.Bytes()), res.Size, &pades.VerifyOptions{Roots: ca.Roots()})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range report.Signatures {
		fmt.Println(s.Field, s.Profile, s.Integrity, s.Coverage, s.Changes, s.Trust)
	}
	fmt.Println(report.Verdict)
	// Output:
	// Sig1 b-t intact whole_document none trusted
	// PASSED
}

// Prepare and finish with a key that is elsewhere: what is between the two can
// be stored as JSON.
func ExamplePrepare() {
	ctx := context.Background()
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	hsm, chain, err := ca.NewSigner(ctx, "Li Si")
	if err != nil {
		log.Fatal(err)
	}
	doc := formDoc().classic()
	p, err := pades.Prepare(ctx, bytes.NewReader(doc), int64(len(doc)), pades.Spec{Chain: chain})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Algorithm, p.Hash, len(p.ToSign))

	raw, err := hsm.Sign(nil, p.ToSign, crypto.SHA256) // minutes or days later
	if err != nil {
		log.Fatal(err)
	}
	res, err := pades.Finish(ctx, p, pades.Signature{Raw: raw}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Field, res.Size == int64(len(doc)+len(res.Increment)))
	// Output:
	// ecdsa SHA-256 32
	// Sig1 true
}

// Make the fields of all recipients before the first signature: what comes
// later only fills them, and no signature breaks another.
func ExampleApply() {
	ctx := context.Background()
	doc := plainDoc().classic()
	res, err := pades.Apply(ctx, bytes.NewReader(doc), int64(len(doc)), nil, pades.Edit{Fields: []pades.NewField{
		{Name: "buyer", Type: pades.FieldSignature, Rect: [4]float64{72, 100, 222, 150}},
		{Name: "seller", Type: pades.FieldSignature, Rect: [4]float64{300, 100, 450, 150}},
		{Name: "date", Type: pades.FieldText, Rect: [4]float64{72, 60, 222, 80}},
	}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	doc = append(doc, res.Increment...)
	list, err := pades.Fields(ctx, bytes.NewReader(doc), res.Size, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range list {
		fmt.Println(f.Name, f.Type, f.Page, f.Rect)
	}
	// Output:
	// buyer signature 1 [72 100 222 150]
	// seller signature 1 [300 100 450 150]
	// date text 1 [72 60 222 80]
}

// A refusal carries a code that programs can act on.
func ExampleCanSign() {
	ctx := context.Background()
	ca, err := devca.NewInsecure(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, chain, err := ca.NewSigner(ctx, "Li Si")
	if err != nil {
		log.Fatal(err)
	}
	doc := formDoc().classic()
	p, err := pades.CanSign(ctx, bytes.NewReader(doc), int64(len(doc)), pades.Spec{Chain: chain, Field: "missing"})
	if err != nil {
		log.Fatal(err)
	}
	for _, refusal := range p.Refusals {
		fmt.Println(refusal.Code)
	}
	// Output:
	// FIELD_NOT_FOUND
}
