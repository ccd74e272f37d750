package aliyun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/aliyun"
	"github.com/countersign/countersign/sms/smstest"
)

const secret = "not-a-secret"

func open(url string) sms.Gateway {
	return &aliyun.Gateway{AccessKeyID: "id", AccessKeySecret: secret, Endpoint: url}
}

// signed checks a request as the service would.
func signed(r *http.Request) error {
	at, err := time.Parse("2006-01-02T15:04:05Z", r.Header.Get("x-acs-date"))
	if err != nil {
		return err
	}
	if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 {
		return errors.New("a body")
	}
	want := aliyun.Sign(aliyun.Request{Method: r.Method, Host: r.Host, Action: r.Header.Get("x-acs-action"), Version: r.Header.Get("x-acs-version"),
		Query: r.URL.RawQuery, Nonce: r.Header.Get("x-acs-signature-nonce"), At: at, KeyID: "id", Secret: secret})
	for k, v := range want {
		if r.Header.Get(k) != v {
			return errors.New("header " + k)
		}
	}
	return nil
}

func serve(w http.ResponseWriter, r *http.Request, a smstest.Answer, s sms.Submission) error {
	code := map[smstest.Answer]string{smstest.AnswerOK: "OK", smstest.AnswerNoID: "OK", smstest.AnswerRejected: "isv.MOBILE_NUMBER_ILLEGAL",
		smstest.AnswerThrottled: "isv.BUSINESS_LIMIT_CONTROL", smstest.AnswerMisconfigured: "SignatureDoesNotMatch",
		smstest.AnswerUnknownCode: "isp.SYSTEM_ERROR"}[a]
	out := map[string]string{"Code": code, "Message": "text", "RequestId": "r"}
	if a == smstest.AnswerOK {
		out["BizId"] = "biz^1"
	}
	if a == smstest.AnswerMisconfigured {
		w.WriteHeader(http.StatusBadRequest)
	}
	_ = json.NewEncoder(w).Encode(out)
	if err := signed(r); err != nil {
		return err
	}
	q := r.URL.Query()
	want := url.Values{"PhoneNumbers": {s.To.National()}, "SignName": {s.Signature}, "TemplateCode": {s.Template}, "OutId": {s.Key},
		"TemplateParam": {`{"code":"424242","title":"金丝雀协议"}`}}
	if q.Encode() != want.Encode() || r.Method != http.MethodPost || r.Header.Get("x-acs-action") != "SendSms" {
		return errors.New("parameters")
	}
	return nil
}

func TestConformance(t *testing.T) {
	smstest.Run(t, smstest.Rig{New: open, Serve: serve, Receipt: func(s sms.Submission, id string) *http.Request {
		body := fmt.Sprintf(`[{"phone_number":%q,"report_time":"2026-03-01 10:00:00","success":true,"err_code":"DELIVERED","sms_size":"1","biz_id":%q,"out_id":%q}]`,
			s.To.National(), id, s.Key)
		return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	}})
}

func TestQuery(t *testing.T) {
	to, err := sms.NewNumber("13812345678")
	require.NoError(t, err)
	answer := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, signed(r))
		assert.Equal(t, "20260301", r.URL.Query().Get("SendDate"))
		_, _ = io.WriteString(w, answer)
	}))
	defer srv.Close()
	g := open(srv.URL).(sms.Querier)
	q := sms.Query{Key: "cs-1", To: to, At: time.Date(2026, 2, 28, 16, 30, 0, 0, time.UTC)} // the first of March in Shanghai
	for name, tc := range map[string]struct {
		body     string
		want     sms.Disposition
		receipts int
	}{
		"delivered":  {`{"Code":"OK","SmsSendDetailDTOs":{"SmsSendDetailDTO":[{"OutId":"cs-0","SendStatus":3},{"OutId":"cs-1","SendStatus":3,"ErrCode":"DELIVERED"}]}}`, sms.Accepted, 1},
		"on its way": {`{"Code":"OK","SmsSendDetailDTOs":{"SmsSendDetailDTO":[{"OutId":"cs-1","SendStatus":1}]}}`, sms.Accepted, 0},
		"not listed": {`{"Code":"OK","SmsSendDetailDTOs":{"SmsSendDetailDTO":[]}}`, sms.Unknown, 0},
		"refused":    {`{"Code":"isv.OUT_OF_SERVICE"}`, sms.Unknown, 0},
		"garbage":    {`<html>`, sms.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			answer = tc.body
			res, got, _ := g.Query(context.Background(), q)
			assert.Equal(t, tc.want, res.Disposition)
			assert.Len(t, got, tc.receipts)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"phone_number":"13812345678","success":true,"biz_id":"1","out_id":"2"}]`)
	f.Fuzz(func(t *testing.T, body string) {
		_, _, _ = open("").(sms.ReceiptSource).Parse(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	})
}
