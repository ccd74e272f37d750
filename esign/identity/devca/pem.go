package devca

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/cms"
)

// roles names the authorities in the PEM form, in its order.
func (c *CA) roles() []struct {
	name string
	a    *authority
} {
	return []struct {
		name string
		a    *authority
	}{{"root", &c.root}, {"issuing", &c.issuing}, {"timestamps", &c.stamp}, {"ocsp", &c.ocsp}}
}

// MarshalPEM returns the whole authority, private keys in the clear included,
// for [RestoreInsecure]. It is a PEM file: certificates and keys with a header
// that tells their role, then every leaf, with its revocation if there is one.
func (c *CA) MarshalPEM() ([]byte, error) {
	var out bytes.Buffer
	add := func(kind string, b []byte, headers map[string]string) {
		pem.Encode(&out, &pem.Block{Type: kind, Bytes: b, Headers: headers}) // a buffer never fails
	}
	for _, r := range c.roles() {
		key, err := cms.MarshalKey(r.a.key)
		if err != nil {
			return nil, fmt.Errorf("devca: key: %w", err)
		}
		h := map[string]string{"Role": r.name}
		add("CERTIFICATE", r.a.cert.Raw, h)
		add("PRIVATE KEY", key, h)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.leaves {
		h := map[string]string{"Role": "leaf"}
		if l.request != "" {
			h["Request"] = l.request
		}
		if !l.revokedAt.IsZero() {
			h["Revoked"], h["Reason"] = l.revokedAt.Format(time.RFC3339), strconv.Itoa(l.reason)
		}
		add("CERTIFICATE", l.cert.Raw, h)
	}
	return out.Bytes(), nil
}

// RestoreInsecure returns the authority that [CA.MarshalPEM] wrote. Its keys
// decide the algorithm; o gives address and clock. Anything else is [ErrState].
func RestoreInsecure(b []byte, o *Options) (*CA, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.Algorithm = ""
	c, err := newCA(&opts)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if err := c.restore(block); err != nil {
			return nil, err
		}
	}
	for _, r := range c.roles() {
		if r.a.cert == nil || r.a.key == nil {
			return nil, fmt.Errorf("%w: no %s", ErrState, r.name)
		}
		if err := cms.CheckKey(r.a.key, r.a.cert); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrState, r.name, err)
		}
	}
	alg, err := cms.KeyAlgorithm(c.root.cert)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	c.opts.Algorithm = string(alg)
	c.start()
	return c, nil
}

func (c *CA) restore(block *pem.Block) error {
	var cert *x509.Certificate
	var err error
	if block.Type == "CERTIFICATE" {
		if cert, err = cms.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
	}
	role := block.Headers["Role"]
	if role == "leaf" && cert != nil {
		l := &leaf{cert: cert, request: block.Headers["Request"]}
		if s := block.Headers["Revoked"]; s != "" {
			if l.revokedAt, err = time.Parse(time.RFC3339, s); err == nil {
				l.reason, err = strconv.Atoi(block.Headers["Reason"])
			}
			if err != nil {
				return fmt.Errorf("%w: revocation of a leaf", ErrState)
			}
		}
		c.leaves = append(c.leaves, l)
		return nil
	}
	for _, r := range c.roles() {
		switch {
		case r.name != role:
		case cert != nil:
			r.a.cert = cert
			return nil
		case block.Type == "PRIVATE KEY":
			if r.a.key, err = cms.ParseKey(block.Bytes, nil); err != nil {
				return fmt.Errorf("%w: key of %s", ErrState, role)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: unexpected block", ErrState)
}
