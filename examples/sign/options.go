package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/countersign/countersign/esign/pades"
)

// options are the command line, checked.
type options struct {
	in, out                string
	key, cert              string
	alg                    pades.Algorithm
	profile                pades.Profile
	tsa, field             string
	reason, location, name string
	certify                int
	password               string
	page                   int
	rect                   [4]float64
	text                   string
	json                   bool
}

func parse(args []string) (options, error) {
	var o options
	var alg, profile, rect string
	fs := flag.NewFlagSet("sign", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.in, "in", "", "the PDF to sign")
	fs.StringVar(&o.out, "out", "", "where the signed PDF goes")
	fs.StringVar(&o.key, "key", "", "private key, PEM; absent: a throw-away key")
	fs.StringVar(&o.cert, "cert", "", "certificate chain, PEM, leaf first")
	fs.StringVar(&alg, "alg", "", "ecdsa, rsa, rsapss, ed25519 or sm2")
	fs.StringVar(&profile, "profile", "b-b", "b-b, b-t, b-lt, b-lta or cms")
	fs.StringVar(&o.tsa, "tsa", "", "URL of a timestamp authority")
	fs.StringVar(&o.field, "field", "", "signature field")
	fs.StringVar(&o.reason, "reason", "", "reason")
	fs.StringVar(&o.location, "location", "", "location")
	fs.StringVar(&o.name, "name", "", "signer's name")
	fs.IntVar(&o.certify, "certify", 0, "certify, allowing 1 nothing, 2 forms, 3 comments")
	fs.StringVar(&o.password, "password", "", "the document's password")
	fs.IntVar(&o.page, "page", 0, "page of the stamp, from 1")
	fs.StringVar(&rect, "rect", "", "x1,y1,x2,y2 of the stamp in points")
	fs.StringVar(&o.text, "text", "", "text of the stamp")
	fs.BoolVar(&o.json, "json", false, "print the result as JSON")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.in == "" || o.out == "":
		return o, errors.New("-in and -out are required")
	case (o.key == "") != (o.cert == ""):
		return o, errors.New("-key and -cert go together")
	case o.certify < 0 || o.certify > 3:
		return o, errors.New("-certify is 1, 2 or 3")
	case o.page < 0:
		return o, errors.New("-page counts from 1")
	case o.page > 0 && rect == "":
		return o, errors.New("-page needs -rect")
	}
	switch o.alg = pades.Algorithm(alg); o.alg {
	case "", pades.ECDSA, pades.RSA, pades.RSAPSS, pades.Ed25519, pades.SM2:
	default:
		return o, fmt.Errorf("-alg %q is none of ecdsa, rsa, rsapss, ed25519, sm2", alg)
	}
	switch o.profile = pades.Profile(profile); o.profile {
	case pades.ProfileBB, pades.ProfileCMS:
	case pades.ProfileBT, pades.ProfileBLT, pades.ProfileBLTA:
		if o.tsa == "" {
			return o, fmt.Errorf("-profile %s needs -tsa", profile)
		}
	default:
		return o, fmt.Errorf("-profile %q is none of b-b, b-t, b-lt, b-lta, cms", profile)
	}
	if rect != "" {
		var err error
		if o.rect, err = parseRect(rect); err != nil {
			return o, err
		}
	}
	return o, nil
}

func parseRect(s string) (r [4]float64, err error) {
	parts := strings.Split(s, ",")
	if len(parts) != 4 {
		return r, errors.New("-rect wants x1,y1,x2,y2")
	}
	for i, p := range parts {
		r[i], err = strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || math.IsNaN(r[i]) || math.Abs(r[i]) > 1e6 {
			return r, fmt.Errorf("-rect: %q is no coordinate", p)
		}
	}
	if r[0] >= r[2] || r[1] >= r[3] {
		return r, errors.New("-rect wants x1 < x2 and y1 < y2")
	}
	return r, nil
}
