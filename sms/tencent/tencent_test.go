package tencent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/sms/tencent"
)

const secret = "not-a-secret"

func open(url string) sms.Gateway {
	return &tencent.Gateway{SecretID: "id", SecretKey: secret, AppID: "1400000000", Endpoint: url}
}

func signed(r *http.Request, body []byte) error {
	at, err := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if r.Header.Get("Authorization") != tencent.Authorization("sms", r.Host, body, time.Unix(at, 0), "id", secret) {
		return errors.New("signature")
	}
	return nil
}

func serve(w http.ResponseWriter, r *http.Request, a smstest.Answer, s sms.Submission) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	number := s.To.E164()
	status := func(code, serial string) string {
		return fmt.Sprintf(`{"Response":{"SendStatusSet":[{"SerialNo":%q,"PhoneNumber":%q,"Fee":1,"Code":%q,"Message":"m"}],"RequestId":"r"}}`, serial, number, code)
	}
	_, _ = io.WriteString(w, map[smstest.Answer]string{
		smstest.AnswerOK:            status("Ok", "5000:1"),
		smstest.AnswerNoID:          status("Ok", ""),
		smstest.AnswerRejected:      status("FailedOperation.PhoneNumberInBlacklist", ""),
		smstest.AnswerThrottled:     status("LimitExceeded.PhoneNumberOneHourLimit", ""),
		smstest.AnswerMisconfigured: `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"m"},"RequestId":"r"}}`,
		smstest.AnswerUnknownCode:   status("InternalError.OtherError", ""),
	}[a])
	if err := signed(r, body); err != nil {
		return err
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	want := map[string]any{"PhoneNumberSet": []any{number}, "SmsSdkAppId": "1400000000", "SignName": s.Signature, "TemplateId": s.Template,
		"TemplateParamSet": []any{"424242", "金丝雀协议"}, "SessionContext": s.Key}
	if !assert.ObjectsAreEqual(want, got) || r.Header.Get("X-TC-Action") != "SendSms" || r.Header.Get("X-TC-Version") != "2021-01-11" {
		return errors.New("parameters")
	}
	return nil
}

func TestConformance(t *testing.T) {
	smstest.Run(t, smstest.Rig{New: open, Serve: serve, Receipt: func(s sms.Submission, id string) *http.Request {
		body := fmt.Sprintf(`[{"user_receive_time":"2026-03-01 10:00:00","nationcode":"86","mobile":%q,"report_status":"SUCCESS","errmsg":"DELIVRD","sid":%q}]`,
			s.To.National(), id)
		return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	}})
}

// TestOneNumberOneVerdict: the status of another number, or of several, is none.
func TestOneNumberOneVerdict(t *testing.T) {
	to, err := sms.NewNumber("13812345678")
	require.NoError(t, err)
	for _, set := range []string{
		`[]`,
		`[{"SerialNo":"1","PhoneNumber":"+8613900000000","Code":"Ok"}]`,
		`[{"SerialNo":"1","PhoneNumber":"+8613812345678","Code":"Ok"},{"SerialNo":"2","PhoneNumber":"+8613900000000","Code":"LimitExceeded.x"}]`,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Response":{"SendStatusSet":`+set+`}}`)
		}))
		res, _ := open(srv.URL).Submit(context.Background(), sms.Submission{Key: "k", To: to})
		srv.Close()
		assert.Equal(t, sms.Unknown, res.Disposition, set)
	}
}

func TestQuery(t *testing.T) {
	to, err := sms.NewNumber("13812345678")
	require.NoError(t, err)
	answer := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NoError(t, signed(r, body))
		_, _ = io.WriteString(w, answer)
	}))
	defer srv.Close()
	g := open(srv.URL).(sms.Querier)
	q := sms.Query{Key: "cs-1", To: to, At: time.Unix(1_772_000_000, 0)}
	for name, tc := range map[string]struct {
		body     string
		want     sms.Disposition
		receipts int
	}{
		"delivered":  {`{"Response":{"PullSmsSendStatusSet":[{"SerialNo":"9","SessionContext":"cs-0"},{"SerialNo":"1","SessionContext":"cs-1","ReportStatus":"SUCCESS"}]}}`, sms.Accepted, 1},
		"not listed": {`{"Response":{"PullSmsSendStatusSet":[]}}`, sms.Unknown, 0},
		"refused":    {`{"Response":{"Error":{"Code":"UnauthorizedOperation"}}}`, sms.Unknown, 0},
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
	f.Add(`[{"nationcode":"86","mobile":"13812345678","report_status":"SUCCESS","sid":"1"}]`)
	f.Fuzz(func(t *testing.T, body string) {
		_, _, _ = open("").(sms.ReceiptSource).Parse(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	})
}
