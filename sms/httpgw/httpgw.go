package httpgw

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/countersign/countersign/sms"
)

// A Source names what a request field is filled with.
type Source string

// The sources of request fields.
const (
	E164      Source = "e164"     // +8613812345678
	National  Source = "national" // 13812345678; abroad as E164
	Key       Source = "key"      // our id of the attempt
	Kind      Source = "kind"
	Signature Source = "signature"
	Template  Source = "template" // the provider's code
	Text      Source = "text"     // rendered, without the signature
	Signed    Source = "signed"   // rendered, with 【signature】 before it
	Vars      Source = "vars"     // an object of names and values
	Values    Source = "values"   // an array of values, in the template's order
)

// A Gateway talks to a provider that takes one text as one JSON object and
// answers with another: a mapping table says which field is which. It is a
// literal.
type Gateway struct {
	// ID is the gateway's name; zero: "http".
	ID string
	// URL takes the POST. Required.
	URL string
	// Header goes with each request: credentials, for instance.
	Header http.Header
	// Fields fills the request: dotted names to sources. Required.
	Fields map[string]Source
	// Fixed are further fields of the request that never change.
	Fixed map[string]any
	// IDField, CodeField and CountField are the dotted names, in the answer, of the
	// provider's id, its code (both required) and its count of messages. A number
	// in the name is an index: "data.0.id".
	IDField, CodeField, CountField string
	// Codes says what each code means; a code that is not here is Unknown. Required.
	Codes map[string]sms.SubmitResult
	// Statuses says what HTTP statuses other than 200 mean by themselves, as 401
	// Misconfigured; one that is not here is judged by its code, and is Unknown
	// unless that is a refusal.
	Statuses map[int]sms.SubmitResult
	// Caps is what it takes; zero: codes and notices, at home.
	Caps sms.Capabilities
	// Client sends the requests; nil: a plain one.
	Client *http.Client
}

var _ sms.Gateway = (*Gateway)(nil)

// Name implements [sms.Gateway].
func (g *Gateway) Name() string { return cmp.Or(g.ID, "http") }

// Capabilities implements [sms.Gateway].
func (g *Gateway) Capabilities() sms.Capabilities { return g.Caps }

// Submit implements [sms.Gateway].
func (g *Gateway) Submit(ctx context.Context, s sms.Submission) (sms.SubmitResult, error) {
	body, err := g.body(s)
	if err != nil {
		return sms.SubmitResult{Disposition: sms.Misconfigured, Code: "mapping"}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL, bytes.NewReader(body))
	if err != nil {
		return sms.SubmitResult{Disposition: sms.Misconfigured, Code: "url"}, errors.New("httpgw: URL does not parse")
	}
	for k, v := range g.Header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	answer, err := sms.Exchange(g.Client, req)
	if err != nil {
		return sms.Failed(err), fmt.Errorf("httpgw: %w", err)
	}
	if res, ok := g.Statuses[answer.Status]; ok && answer.Status != http.StatusOK {
		res.Code = strconv.Itoa(answer.Status)
		return res, nil
	}
	unknown := sms.SubmitResult{Disposition: sms.Unknown, Code: strconv.Itoa(answer.Status)}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(answer.Body))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return unknown, errors.New("httpgw: unreadable answer")
	}
	code := text(find(tree, g.CodeField))
	res, ok := g.Codes[code]
	if !ok {
		unknown.Code = code
		return unknown, nil
	}
	res.Code, res.ProviderID = code, text(find(tree, g.IDField))
	if g.CountField != "" {
		res.Segments, _ = strconv.Atoi(text(find(tree, g.CountField)))
	}
	if res.Disposition == sms.Accepted && (res.ProviderID == "" || answer.Status != http.StatusOK) {
		res.Disposition = sms.Unknown
	}
	return res, nil
}

func (g *Gateway) body(s sms.Submission) ([]byte, error) {
	root := map[string]any{}
	for name, v := range g.Fixed {
		if err := put(root, name, v); err != nil {
			return nil, err
		}
	}
	for name, src := range g.Fields {
		var v any
		switch src {
		case E164:
			v = s.To.E164()
		case National:
			v = s.To.National()
		case Key:
			v = s.Key
		case Kind:
			v = s.Kind
		case Signature:
			v = s.Signature
		case Template:
			v = s.Template
		case Text:
			v = s.Text
		case Signed:
			v = "【" + s.Signature + "】" + s.Text
		case Vars:
			m := map[string]string{}
			for _, x := range s.Vars {
				m[x.Name] = x.Value
			}
			v = m
		case Values:
			l := []string{}
			for _, x := range s.Vars {
				l = append(l, x.Value)
			}
			v = l
		default:
			return nil, errors.New("httpgw: unknown source " + string(src))
		}
		if err := put(root, name, v); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(root)
	if err != nil {
		return nil, errors.New("httpgw: request does not marshal")
	}
	return b, nil
}

// put sets a dotted name.
func put(root map[string]any, name string, v any) error {
	parts := strings.Split(name, ".")
	for _, p := range parts[:len(parts)-1] {
		next, ok := root[p].(map[string]any)
		if !ok {
			if root[p] != nil {
				return errors.New("httpgw: field " + name + " lies in a value")
			}
			next = map[string]any{}
			root[p] = next
		}
		root = next
	}
	root[parts[len(parts)-1]] = v
	return nil
}

// find gets a dotted name.
func find(tree any, name string) any {
	for _, p := range strings.Split(name, ".") {
		switch t := tree.(type) {
		case map[string]any:
			tree = t[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			tree = t[i]
		default:
			return nil
		}
	}
	return tree
}

func text(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	return ""
}
