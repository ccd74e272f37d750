package aliyun

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/sms"
)

const version = "2017-05-25"

// A Gateway sends through Aliyun's short message service (dysmsapi,
// 2017-05-25). It is a literal; the fields without comment are required.
type Gateway struct {
	AccessKeyID     string
	AccessKeySecret sms.Secret
	// ID is the gateway's name; zero: "aliyun".
	ID string
	// Endpoint is scheme and host; zero: https://dysmsapi.aliyuncs.com.
	Endpoint string
	// Client sends the requests; nil: a plain one.
	Client *http.Client
	// Abroad lets texts go to numbers outside +86 too.
	Abroad bool
	// Now is the clock; nil is time.Now. The service allows 15 minutes.
	Now func() time.Time
}

var (
	_ sms.Gateway       = (*Gateway)(nil)
	_ sms.Querier       = (*Gateway)(nil)
	_ sms.ReceiptSource = (*Gateway)(nil)
)

// Name implements [sms.Gateway].
func (g *Gateway) Name() string { return cmp.Or(g.ID, "aliyun") }

// Capabilities implements [sms.Gateway].
func (g *Gateway) Capabilities() sms.Capabilities {
	return sms.Capabilities{Kinds: []sms.Kind{sms.OTP, sms.Notice, sms.Marketing}, Regions: sms.Regions(g.Abroad), Templates: true, Receipts: true}
}

// number is how the service writes numbers: digits, with the country code
// abroad.
func number(n sms.Number) string { return strings.TrimPrefix(n.National(), "+") }

// Submit implements [sms.Gateway] by SendSms.
func (g *Gateway) Submit(ctx context.Context, s sms.Submission) (sms.SubmitResult, error) {
	values := make(map[string]string, len(s.Vars))
	for _, v := range s.Vars {
		values[v.Name] = v.Value
	}
	param, err := json.Marshal(values)
	if err != nil {
		return sms.SubmitResult{Disposition: sms.Rejected, Code: "param", Cause: sms.BadContent}, errors.New("aliyun: values do not marshal")
	}
	answer, err := g.call(ctx, "SendSms", map[string]string{"PhoneNumbers": number(s.To), "SignName": s.Signature,
		"TemplateCode": s.Template, "TemplateParam": string(param), "OutId": s.Key})
	if err != nil {
		return sms.Failed(err), fmt.Errorf("aliyun: %w", err)
	}
	var out struct {
		Code  string
		BizId string
	}
	if json.Unmarshal(answer.Body, &out) != nil || out.Code == "" {
		return sms.SubmitResult{Disposition: sms.Unknown, Code: strconv.Itoa(answer.Status)}, errors.New("aliyun: unreadable answer")
	}
	res := judge(out.Code)
	res.ProviderID = out.BizId
	if res.Disposition == sms.Accepted && (answer.Status != http.StatusOK || out.BizId == "") {
		res.Disposition = sms.Unknown
	}
	return res, nil
}

// codes is what the service's codes mean; what is not here is Unknown.
var codes = map[string]sms.SubmitResult{
	"OK": {Disposition: sms.Accepted},

	"isv.BUSINESS_LIMIT_CONTROL": {Disposition: sms.Throttled, RetryAfter: time.Minute},
	"isv.DAY_LIMIT_CONTROL":      {Disposition: sms.Throttled, RetryAfter: time.Hour},
	"isv.MONTH_LIMIT_CONTROL":    {Disposition: sms.Throttled, RetryAfter: 24 * time.Hour},
	"Throttling":                 {Disposition: sms.Throttled, RetryAfter: time.Minute},
	"Throttling.User":            {Disposition: sms.Throttled, RetryAfter: time.Minute},
	"Throttling.Api":             {Disposition: sms.Throttled, RetryAfter: time.Minute},

	"isv.MOBILE_NUMBER_ILLEGAL":         {Disposition: sms.Rejected, Cause: sms.BadNumber},
	"isv.MOBILE_COUNT_OVER_LIMIT":       {Disposition: sms.Rejected, Cause: sms.BadNumber},
	"isv.BLACK_KEY_CONTROL_LIMIT":       {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.SMS_CONTENT_ILLEGAL":           {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.TEMPLATE_PARAMS_ILLEGAL":       {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.TEMPLATE_MISSING_PARAMETERS":   {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.PARAM_LENGTH_LIMIT":            {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.PARAM_NOT_SUPPORT_URL":         {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.INVALID_JSON_PARAM":            {Disposition: sms.Rejected, Cause: sms.BadContent},
	"isv.OUT_OF_SERVICE":                {Disposition: sms.Misconfigured},
	"isv.AMOUNT_NOT_ENOUGH":             {Disposition: sms.Misconfigured},
	"isv.ACCOUNT_NOT_EXISTS":            {Disposition: sms.Misconfigured},
	"isv.ACCOUNT_ABNORMAL":              {Disposition: sms.Misconfigured},
	"isv.PRODUCT_UN_SUBSCRIPT":          {Disposition: sms.Misconfigured},
	"isv.PRODUCT_UNSUBSCRIBE":           {Disposition: sms.Misconfigured},
	"isv.SMS_TEMPLATE_ILLEGAL":          {Disposition: sms.Misconfigured},
	"isv.SMS_SIGNATURE_ILLEGAL":         {Disposition: sms.Misconfigured},
	"isv.SMS_SIGNATURE_SCENE_ILLEGAL":   {Disposition: sms.Misconfigured},
	"isv.SMS_SIGN_ILLEGAL":              {Disposition: sms.Misconfigured},
	"isp.RAM_PERMISSION_DENY":           {Disposition: sms.Misconfigured},
	"SignatureDoesNotMatch":             {Disposition: sms.Misconfigured},
	"InvalidAccessKeyId.NotFound":       {Disposition: sms.Misconfigured},
	"InvalidAccessKeyId.Inactive":       {Disposition: sms.Misconfigured},
	"InvalidTimeStamp.Expired":          {Disposition: sms.Misconfigured},
	"isv.DENY_IP_RANGE":                 {Disposition: sms.Misconfigured},
	"isv.DOMESTIC_NUMBER_NOT_SUPPORTED": {Disposition: sms.Misconfigured},
}

func judge(code string) sms.SubmitResult {
	res, ok := codes[code]
	if !ok {
		res.Disposition = sms.Unknown
	}
	res.Code = code
	return res
}

// Query implements [sms.Querier] by QuerySendDetails. A text it does not list
// stays Unknown: the list lags.
func (g *Gateway) Query(ctx context.Context, q sms.Query) (sms.SubmitResult, []sms.Receipt, error) {
	unknown := sms.SubmitResult{Disposition: sms.Unknown}
	params := map[string]string{"PhoneNumber": number(q.To), "SendDate": q.At.In(shanghai).Format("20060102"), "PageSize": "50", "CurrentPage": "1"}
	if q.ProviderID != "" {
		params["BizId"] = q.ProviderID
	}
	answer, err := g.call(ctx, "QuerySendDetails", params)
	if err != nil {
		return unknown, nil, fmt.Errorf("aliyun: %w", err)
	}
	var out struct {
		Code              string
		SmsSendDetailDTOs struct {
			SmsSendDetailDTO []struct {
				OutId, ErrCode string
				SendStatus     int
			}
		}
	}
	if json.Unmarshal(answer.Body, &out) != nil || out.Code != "OK" {
		return unknown, nil, errors.New("aliyun: unreadable answer")
	}
	for _, d := range out.SmsSendDetailDTOs.SmsSendDetailDTO {
		if d.OutId != q.Key {
			continue
		}
		id := q.ProviderID
		if id == "" {
			id = "out-" + q.Key // the list tells no BizId
		}
		res := sms.SubmitResult{Disposition: sms.Accepted, ProviderID: id, Code: d.ErrCode}
		if d.SendStatus == 1 { // on its way
			return res, nil, nil
		}
		return res, []sms.Receipt{{Key: q.Key, ProviderID: id, To: q.To, Delivered: d.SendStatus == 3, Code: d.ErrCode}}, nil
	}
	return unknown, nil, nil
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// Parse implements [sms.ReceiptSource]: SmsReport as pushed over HTTP.
func (g *Gateway) Parse(r *http.Request) ([]sms.Receipt, []byte, error) {
	var in []struct {
		Phone   string `json:"phone_number"`
		Time    string `json:"report_time"`
		Success bool   `json:"success"`
		Code    string `json:"err_code"`
		Size    string `json:"sms_size"`
		BizID   string `json:"biz_id"`
		OutID   string `json:"out_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, nil, errors.New("aliyun: receipts do not decode")
	}
	var out []sms.Receipt
	for _, x := range in {
		digits := x.Phone
		if len(digits) != 11 || digits[0] != '1' {
			digits = "+" + digits
		}
		to, err := sms.NewNumber(digits)
		if err != nil {
			continue // not of ours
		}
		size, _ := strconv.Atoi(x.Size)
		at, _ := time.ParseInLocation(time.DateTime, x.Time, shanghai)
		out = append(out, sms.Receipt{Key: x.OutID, ProviderID: x.BizID, To: to, Delivered: x.Success, Code: x.Code, Segments: size, At: at.UTC()})
	}
	return out, []byte(`{"code":0,"msg":"ok"}`), nil
}

// Poll implements [sms.ReceiptSource]; the service lists by number only, which
// Query does.
func (g *Gateway) Poll(context.Context, time.Time) ([]sms.Receipt, error) { return nil, nil }

func (g *Gateway) call(ctx context.Context, action string, params map[string]string) (sms.Answer, error) {
	endpoint := cmp.Or(g.Endpoint, "https://dysmsapi.aliyuncs.com")
	query := canonicalQuery(params)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/?"+query, http.NoBody)
	if err != nil {
		return sms.Answer{}, &sms.ExchangeError{What: "address"}
	}
	now := time.Now()
	if g.Now != nil {
		now = g.Now()
	}
	for k, v := range sign(request{Method: http.MethodPost, Host: req.URL.Host, Action: action, Version: version, Query: query,
		Nonce: rand.Text(), At: now, KeyID: g.AccessKeyID, Secret: string(g.AccessKeySecret)}) {
		req.Header.Set(k, v)
	}
	return sms.Exchange(g.Client, req)
}

// A request is what ACS3-HMAC-SHA256 signs.
type request struct {
	Method, Host, Action, Version, Query, Nonce string
	At                                          time.Time
	KeyID, Secret                               string
}

// sign returns the headers of a request without body.
func sign(r request) map[string]string {
	empty := sha256.Sum256(nil)
	headers := map[string]string{"x-acs-action": r.Action, "x-acs-content-sha256": hex.EncodeToString(empty[:]),
		"x-acs-date": r.At.UTC().Format("2006-01-02T15:04:05Z"), "x-acs-signature-nonce": r.Nonce, "x-acs-version": r.Version}
	signed := []string{"host"}
	for k := range headers {
		signed = append(signed, k)
	}
	slices.Sort(signed)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n/\n%s\n", r.Method, r.Query)
	for _, k := range signed {
		v := headers[k]
		if k == "host" {
			v = r.Host
		}
		fmt.Fprintf(&b, "%s:%s\n", k, v)
	}
	names := strings.Join(signed, ";")
	fmt.Fprintf(&b, "\n%s\n%s", names, headers["x-acs-content-sha256"])
	sum := sha256.Sum256([]byte(b.String()))
	m := hmac.New(sha256.New, []byte(r.Secret))
	fmt.Fprintf(m, "ACS3-HMAC-SHA256\n%x", sum)
	headers["Authorization"] = fmt.Sprintf("ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%x", r.KeyID, names, m.Sum(nil))
	return headers
}

// canonicalQuery sorts by name and escapes as RFC 3986 §2.3 has it.
func canonicalQuery(params map[string]string) string {
	var parts []string
	for k, v := range params {
		parts = append(parts, escape(k)+"="+escape(v))
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
