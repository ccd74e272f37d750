package tencent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/sms"
)

const (
	version  = "2021-01-11"
	service  = "sms"
	jsonType = "application/json; charset=utf-8"
)

// A Gateway sends through Tencent Cloud's short message service (2021-01-11).
// It is a literal; the fields without comment are required.
type Gateway struct {
	SecretID  string
	SecretKey sms.Secret
	AppID     string // SmsSdkAppId
	// ID is the gateway's name; zero: "tencent".
	ID string
	// Endpoint is scheme and host; zero: https://sms.tencentcloudapi.com.
	Endpoint string
	// Region is the service's region; zero: ap-guangzhou.
	Region string
	// Client sends the requests; nil: a plain one.
	Client *http.Client
	// Abroad lets texts go to numbers outside +86 too.
	Abroad bool
	// Now is the clock; nil is time.Now. The service allows 5 minutes.
	Now func() time.Time
}

var (
	_ sms.Gateway       = (*Gateway)(nil)
	_ sms.Querier       = (*Gateway)(nil)
	_ sms.ReceiptSource = (*Gateway)(nil)
)

// Name implements [sms.Gateway].
func (g *Gateway) Name() string { return cmp.Or(g.ID, "tencent") }

// Capabilities implements [sms.Gateway].
func (g *Gateway) Capabilities() sms.Capabilities {
	return sms.Capabilities{Kinds: []sms.Kind{sms.OTP, sms.Notice, sms.Marketing}, Regions: sms.Regions(g.Abroad), Templates: true, Receipts: true}
}

type failure struct{ Code string }

// Submit implements [sms.Gateway] by SendSms to one number, which is judged by
// its own status.
func (g *Gateway) Submit(ctx context.Context, s sms.Submission) (sms.SubmitResult, error) {
	params := make([]string, 0, len(s.Vars))
	for _, v := range s.Vars {
		params = append(params, v.Value)
	}
	answer, err := g.call(ctx, "SendSms", map[string]any{"PhoneNumberSet": []string{s.To.E164()}, "SmsSdkAppId": g.AppID,
		"SignName": s.Signature, "TemplateId": s.Template, "TemplateParamSet": params, "SessionContext": s.Key})
	if err != nil {
		return sms.Failed(err), fmt.Errorf("tencent: %w", err)
	}
	var out struct {
		Response struct {
			Error         *failure
			SendStatusSet []struct {
				SerialNo, PhoneNumber, Code string
				Fee                         int
			}
		}
	}
	unreadable := sms.SubmitResult{Disposition: sms.Unknown, Code: strconv.Itoa(answer.Status)}
	if json.Unmarshal(answer.Body, &out) != nil {
		return unreadable, errors.New("tencent: unreadable answer")
	}
	if e := out.Response.Error; e != nil {
		return judge(e.Code), nil
	}
	if answer.Status != http.StatusOK || len(out.Response.SendStatusSet) != 1 {
		return unreadable, errors.New("tencent: not one status for one number")
	}
	st := out.Response.SendStatusSet[0]
	if st.PhoneNumber != "" && st.PhoneNumber != s.To.E164() {
		return unreadable, errors.New("tencent: the status of another number")
	}
	res := judge(st.Code)
	res.ProviderID, res.Segments = st.SerialNo, st.Fee
	if res.Disposition == sms.Accepted && st.SerialNo == "" {
		res.Disposition = sms.Unknown
	}
	return res, nil
}

// codes is what the service's codes mean. A code ending in a dot stands for all
// that begin with it; what is not here is Unknown.
var codes = map[string]sms.SubmitResult{
	"Ok": {Disposition: sms.Accepted},

	"LimitExceeded.":       {Disposition: sms.Throttled, RetryAfter: time.Minute},
	"LimitExceeded":        {Disposition: sms.Throttled, RetryAfter: time.Minute},
	"RequestLimitExceeded": {Disposition: sms.Throttled, RetryAfter: time.Minute},

	"InvalidParameterValue.IncorrectPhoneNumber":                {Disposition: sms.Rejected, Cause: sms.BadNumber},
	"FailedOperation.PhoneNumberInBlacklist":                    {Disposition: sms.Rejected, Cause: sms.BadNumber},
	"FailedOperation.ContainSensitiveWord":                      {Disposition: sms.Rejected, Cause: sms.BadContent},
	"InvalidParameterValue.TemplateParameterFormatError":        {Disposition: sms.Rejected, Cause: sms.BadContent},
	"InvalidParameterValue.TemplateParameterLengthLimit":        {Disposition: sms.Rejected, Cause: sms.BadContent},
	"InvalidParameterValue.ProhibitedUseUrlInTemplateParameter": {Disposition: sms.Rejected, Cause: sms.BadContent},

	"FailedOperation.InsufficientBalanceInSmsPackage": {Disposition: sms.Misconfigured},
	"FailedOperation.SignatureIncorrectOrUnapproved":  {Disposition: sms.Misconfigured},
	"FailedOperation.TemplateIncorrectOrUnapproved":   {Disposition: sms.Misconfigured},
	"FailedOperation.TemplateUnapprovedOrNotExist":    {Disposition: sms.Misconfigured},
	"FailedOperation.MarketingSendTimeConstraint":     {Disposition: sms.Misconfigured},
	"InvalidParameterValue.SdkAppIdNotExist":          {Disposition: sms.Misconfigured},
	"UnauthorizedOperation.":                          {Disposition: sms.Misconfigured},
	"UnauthorizedOperation":                           {Disposition: sms.Misconfigured},
	"AuthFailure.":                                    {Disposition: sms.Misconfigured},
	"AuthFailure":                                     {Disposition: sms.Misconfigured},
}

func judge(code string) sms.SubmitResult {
	res, ok := codes[code]
	if !ok {
		class, _, _ := strings.Cut(code, ".")
		if res, ok = codes[class+"."]; !ok {
			res = sms.SubmitResult{Disposition: sms.Unknown}
		}
	}
	res.Code = code
	return res
}

// Query implements [sms.Querier] by PullSmsSendStatusByPhoneNumber. A text it
// does not list stays Unknown: the list lags.
func (g *Gateway) Query(ctx context.Context, q sms.Query) (sms.SubmitResult, []sms.Receipt, error) {
	unknown := sms.SubmitResult{Disposition: sms.Unknown}
	answer, err := g.call(ctx, "PullSmsSendStatusByPhoneNumber", map[string]any{"BeginTime": q.At.Add(-time.Minute).Unix(), "Offset": 0,
		"Limit": 100, "PhoneNumber": q.To.E164(), "SmsSdkAppId": g.AppID})
	if err != nil {
		return unknown, nil, fmt.Errorf("tencent: %w", err)
	}
	var out struct {
		Response struct {
			Error                *failure
			PullSmsSendStatusSet []struct{ SerialNo, ReportStatus, Description, SessionContext string }
		}
	}
	if json.Unmarshal(answer.Body, &out) != nil || out.Response.Error != nil {
		return unknown, nil, errors.New("tencent: unreadable answer")
	}
	for _, d := range out.Response.PullSmsSendStatusSet {
		if d.SerialNo == "" || d.SessionContext != q.Key && d.SerialNo != q.ProviderID {
			continue
		}
		return sms.SubmitResult{Disposition: sms.Accepted, ProviderID: d.SerialNo}, []sms.Receipt{{Key: q.Key, ProviderID: d.SerialNo, To: q.To,
			Delivered: d.ReportStatus == "SUCCESS", Code: d.Description}}, nil
	}
	return unknown, nil, nil
}

// Parse implements [sms.ReceiptSource]: the status report as pushed over HTTP.
func (g *Gateway) Parse(r *http.Request) ([]sms.Receipt, []byte, error) {
	var in []struct {
		Mobile string `json:"mobile"`
		Nation string `json:"nationcode"`
		Status string `json:"report_status"`
		Code   string `json:"errmsg"`
		ID     string `json:"sid"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, nil, errors.New("tencent: receipts do not decode")
	}
	var out []sms.Receipt
	for _, x := range in {
		to, err := sms.NewNumber("+" + x.Nation + x.Mobile)
		if err != nil {
			continue // not of ours
		}
		out = append(out, sms.Receipt{ProviderID: x.ID, To: to, Delivered: x.Status == "SUCCESS", Code: x.Code})
	}
	return out, []byte(`{"result":0,"errmsg":"OK"}`), nil
}

// Poll implements [sms.ReceiptSource]; Query does it per text, since polling
// takes reports away from whoever else reads them.
func (g *Gateway) Poll(context.Context, time.Time) ([]sms.Receipt, error) { return nil, nil }

func (g *Gateway) call(ctx context.Context, action string, params map[string]any) (sms.Answer, error) {
	endpoint := cmp.Or(g.Endpoint, "https://sms.tencentcloudapi.com")
	body, err := json.Marshal(params)
	if err != nil {
		return sms.Answer{}, &sms.ExchangeError{What: "values"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return sms.Answer{}, &sms.ExchangeError{What: "address"}
	}
	now := time.Now()
	if g.Now != nil {
		now = g.Now()
	}
	req.Header.Set("Content-Type", jsonType)
	req.Header.Set("X-TC-Action", action)
	req.Header.Set("X-TC-Version", version)
	req.Header.Set("X-TC-Region", cmp.Or(g.Region, "ap-guangzhou"))
	req.Header.Set("X-TC-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Authorization", authorization(service, req.URL.Host, body, now, g.SecretID, string(g.SecretKey)))
	return sms.Exchange(g.Client, req)
}

// authorization signs content type, host and body by TC3-HMAC-SHA256.
func authorization(service, host string, body []byte, at time.Time, id, key string) string {
	canonical := fmt.Sprintf("POST\n/\n\ncontent-type:%s\nhost:%s\n\ncontent-type;host\n%x", jsonType, host, sha256.Sum256(body))
	date := at.UTC().Format(time.DateOnly)
	scope := date + "/" + service + "/tc3_request"
	text := fmt.Sprintf("TC3-HMAC-SHA256\n%d\n%s\n%x", at.Unix(), scope, sha256.Sum256([]byte(canonical)))
	k := []byte("TC3" + key)
	for _, part := range []string{date, service, "tc3_request", text} {
		m := hmac.New(sha256.New, k)
		m.Write([]byte(part))
		k = m.Sum(nil)
	}
	return fmt.Sprintf("TC3-HMAC-SHA256 Credential=%s/%s, SignedHeaders=content-type;host, Signature=%x", id, scope, k)
}
