package pades

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// exchange is one bounded HTTP request: POST with a body, else GET. The media
// type of the answer must be accept, unless that is empty.
func exchange(ctx context.Context, c *http.Client, timeout time.Duration, target string, body []byte, send, accept string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, reader = http.MethodPost, bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", send)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	if got := mediaType(resp.Header.Get("Content-Type")); accept != "" && got != accept {
		return nil, fmt.Errorf("content type %q", got)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("answer of more than %d bytes", most)
	}
	return b, nil
}

// mediaType cuts parameters off without judging them.
func mediaType(header string) string {
	for i := range len(header) {
		if header[i] == ';' {
			header = header[:i]
			break
		}
	}
	return string(bytes.ToLower(bytes.TrimSpace([]byte(header))))
}

// pause waits before attempt n (from 1), longer each time and never twice the
// same, so that many clients do not come back at once.
func pause(ctx context.Context, n int) error {
	base := 100 * time.Millisecond << min(n-1, 5)
	t := time.NewTimer(base/2 + rand.N(base))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

var errPrivateAddress = errors.New("address is not public")

// publicClient is a client that connects to public addresses only. The check
// sits in the dialer, behind name resolution and redirects.
func publicClient(allowPrivate bool) *http.Client {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if !allowPrivate {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !isPublic(ap.Addr().Unmap()) {
				return errPrivateAddress
			}
			return nil
		}
	}
	return &http.Client{
		// No proxy: it would resolve names out of the dialer's sight.
		Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= 3 {
				return errors.New("more than three redirects")
			}
			return nil
		},
	}
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !sharedSpace.Contains(a)
}

// webURL refuses everything but http and https.
func webURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("not an HTTP address")
	}
	return nil
}
