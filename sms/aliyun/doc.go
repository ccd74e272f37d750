// Package aliyun sends texts through Aliyun's short message service (阿里云短信服务),
// API 2017-05-25, without the vendor's SDK.
//
// Start with [Gateway], a literal of credentials; pass it in sms.Config. Mount
// sms.Service.Receive("aliyun") as the HTTP address of status reports
// (SmsReport). Requests are signed by ACS3-HMAC-SHA256; our id goes out as OutId
// and comes back in reports and in QuerySendDetails, by which texts of unknown
// fate are asked about.
//
// The provider codes of a template and signature stand in the catalogue
// (sms.TemplateAt.Code). The code table errs towards Unknown: a code that is not
// listed is never taken for a refusal. isp.SYSTEM_ERROR stays Unknown.
//
// Tested against a local server that checks signatures, and the published
// vector; never against the service itself.
package aliyun
