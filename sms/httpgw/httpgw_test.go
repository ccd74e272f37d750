package httpgw_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/httpgw"
	"github.com/countersign/countersign/sms/smstest"
)

func open(url string) sms.Gateway {
	return &httpgw.Gateway{
		URL:    url,
		Header: http.Header{"Authorization": {"Bearer not-a-secret"}},
		Fields: map[string]httpgw.Source{"to": httpgw.E164, "message.text": httpgw.Signed, "message.values": httpgw.Values,
			"message.vars": httpgw.Vars, "ref": httpgw.Key},
		Fixed:   map[string]any{"message.type": "transactional"},
		IDField: "data.0.id", CodeField: "data.0.status", CountField: "data.0.parts",
		Codes: map[string]sms.SubmitResult{"queued": {Disposition: sms.Accepted}, "bad_number": {Disposition: sms.Rejected, Cause: sms.BadNumber},
			"slow_down": {Disposition: sms.Throttled}},
		Statuses: map[int]sms.SubmitResult{http.StatusUnauthorized: {Disposition: sms.Misconfigured}},
	}
}

func serve(w http.ResponseWriter, r *http.Request, a smstest.Answer, s sms.Submission) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if a == smstest.AnswerMisconfigured {
		w.WriteHeader(http.StatusUnauthorized)
	} else {
		status := map[smstest.Answer]string{smstest.AnswerOK: "queued", smstest.AnswerNoID: "queued", smstest.AnswerRejected: "bad_number",
			smstest.AnswerThrottled: "slow_down", smstest.AnswerUnknownCode: "maybe"}[a]
		id := "m-1"
		if a == smstest.AnswerNoID {
			id = ""
		}
		fmt.Fprintf(w, `{"data":[{"id":%q,"status":%q,"parts":2}]}`, id, status)
	}
	want := map[string]any{"to": s.To.E164(), "ref": s.Key, "message": map[string]any{"text": "【签约】" + s.Text, "type": "transactional",
		"values": []any{"424242", "金丝雀协议"}, "vars": map[string]any{"code": "424242", "title": "金丝雀协议"}}}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if !assert.ObjectsAreEqual(want, got) || r.Header.Get("Authorization") != "Bearer not-a-secret" {
		return errors.New("request")
	}
	return nil
}

func TestConformance(t *testing.T) { smstest.Run(t, smstest.Rig{New: open, Serve: serve}) }

func TestMapping(t *testing.T) {
	to, err := sms.NewNumber("13812345678")
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = serve(w, r, smstest.AnswerOK, sms.Submission{})
	}))
	defer srv.Close()
	res, err := open(srv.URL).Submit(context.Background(), sms.Submission{Key: "k", To: to})
	require.NoError(t, err)
	assert.Equal(t, sms.SubmitResult{Disposition: sms.Accepted, ProviderID: "m-1", Segments: 2, Code: "queued"}, res)

	g := open(srv.URL).(*httpgw.Gateway)
	g.Fields = map[string]httpgw.Source{"to": "phone"}
	res, err = g.Submit(context.Background(), sms.Submission{Key: "k", To: to})
	require.Error(t, err)
	assert.Equal(t, sms.Misconfigured, res.Disposition, "nothing was sent")
	g.Fields = map[string]httpgw.Source{"to": httpgw.E164}
	g.Fixed = map[string]any{"to.x": 1, "to": 2}
	_, err = g.Submit(context.Background(), sms.Submission{Key: "k", To: to})
	require.NotPanics(t, func() { _ = err })
}

func ExampleGateway() {
	g := &httpgw.Gateway{
		URL:     "https://sms.example.com/v1/messages",
		Header:  http.Header{"Authorization": {"Bearer …"}},
		Fields:  map[string]httpgw.Source{"to": httpgw.E164, "body": httpgw.Signed, "client_ref": httpgw.Key},
		IDField: "id", CodeField: "status",
		Codes: map[string]sms.SubmitResult{
			"queued":         {Disposition: sms.Accepted},
			"invalid_number": {Disposition: sms.Rejected, Cause: sms.BadNumber},
		}, // everything else is Unknown
	}
	fmt.Println(g.Name())
	// Output: http
}
