package devca

import (
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/cms"
)

// dataLife is how long a CRL or OCSP answer is good for.
const dataLife = 7 * 24 * time.Hour

// ServeHTTP serves, below the address in Options.URL:
//
//	/ocsp                    OCSP (RFC 6960), POST, or GET with the request in the path
//	/issuing.crl /root.crl   revocation lists
//	/issuing.crt /root.crt   certificates
//	/tsa                     timestamps (RFC 3161)
func (c *CA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	switch {
	case path == "/tsa":
		c.tsa.ServeHTTP(w, r)
	case path == "/ocsp", strings.HasPrefix(path, "/ocsp/"):
		c.serveOCSP(w, r, strings.TrimPrefix(path, "/ocsp"))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
	case path == "/issuing.crl":
		c.serveCRL(w, &c.issuing)
	case path == "/root.crl":
		c.serveCRL(w, &c.root)
	case path == "/issuing.crt":
		reply(w, "application/pkix-cert", c.issuing.cert.Raw)
	case path == "/root.crt":
		reply(w, "application/pkix-cert", c.root.cert.Raw)
	default:
		http.NotFound(w, r)
	}
}

func reply(w http.ResponseWriter, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Write(b) // the client is gone if this fails
}

func (c *CA) serveCRL(w http.ResponseWriter, by *authority) {
	b, err := c.crl(by)
	if err != nil {
		http.Error(w, "no revocation list", http.StatusInternalServerError)
		return
	}
	reply(w, "application/pkix-crl", b)
}

// CRL returns the current revocation list of the issuing authority.
func (c *CA) CRL() ([]byte, error) { return c.crl(&c.issuing) }

func (c *CA) crl(by *authority) ([]byte, error) {
	now := c.now()
	t := &x509.RevocationList{Number: big.NewInt(now.UnixMicro()), ThisUpdate: now, NextUpdate: now.Add(dataLife)}
	if by == &c.issuing {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, l := range c.leaves {
			if !l.revokedAt.IsZero() {
				t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
					SerialNumber: l.cert.SerialNumber, RevocationTime: l.revokedAt, ReasonCode: l.reason,
				})
			}
		}
	}
	return cms.CreateRevocationList(t, by.cert, by.key)
}

func (c *CA) serveOCSP(w http.ResponseWriter, r *http.Request, encoded string) {
	var request []byte
	var err error
	if r.Method == http.MethodPost {
		request, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10))
	} else if encoded, err = url.PathUnescape(strings.TrimPrefix(encoded, "/")); err == nil {
		request, err = base64.StdEncoding.DecodeString(encoded)
	}
	if err != nil {
		http.Error(w, "no OCSP request", http.StatusBadRequest)
		return
	}
	reply(w, "application/ocsp-response", c.OCSP(request))
}

// OCSP answers an encoded OCSP request about a certificate of the issuing
// authority (signed by its responder) or of the root (signed by the root).
func (c *CA) OCSP(request []byte) []byte {
	q, err := cms.ParseOCSPRequest(request)
	if err != nil {
		return cms.OCSPFailure(1)
	}
	now := c.now()
	answer := cms.Revocation{Status: cms.StatusUnknown, ThisUpdate: now, NextUpdate: now.Add(dataLife), Produced: now}
	by := &c.ocsp
	switch {
	case q.About(c.issuing.cert):
		c.status(q.Serial, &answer)
	case q.About(c.root.cert):
		by = &c.root
		if q.Serial.Cmp(c.issuing.cert.SerialNumber) == 0 {
			answer.Status = cms.StatusGood
		}
	default:
		return cms.OCSPFailure(6)
	}
	b, err := cms.CreateOCSP(q, answer, by.cert, by == &c.ocsp, by.key)
	if err != nil {
		return cms.OCSPFailure(2)
	}
	return b
}

// status fills in what the issuing authority knows of a serial number.
func (c *CA) status(n *big.Int, r *cms.Revocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.bySerial(n); l != nil {
		r.Status = cms.StatusGood
		if !l.revokedAt.IsZero() {
			r.Status, r.RevokedAt, r.Reason = cms.StatusRevoked, l.revokedAt, l.reason
		}
		return
	}
	if n.Cmp(c.stamp.cert.SerialNumber) == 0 || n.Cmp(c.ocsp.cert.SerialNumber) == 0 {
		r.Status = cms.StatusGood
	}
}
