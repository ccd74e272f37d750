// Package tencent sends texts through Tencent Cloud's short message service
// (腾讯云短信), API 2021-01-11, without the vendor's SDK.
//
// Start with [Gateway], a literal of credentials and application id; pass it in
// sms.Config. Mount sms.Service.Receive("tencent") as the callback address of
// status reports. Requests are signed by TC3-HMAC-SHA256; our id goes out as
// SessionContext, by which texts of unknown fate are found again. Each request
// carries one number, judged by its own status, never by the batch's.
//
// The provider codes of a template stand in the catalogue (sms.TemplateAt.Code);
// values go out in the order in which the body names them. The code table errs
// towards Unknown: a code that is not listed is never taken for a refusal.
//
// Tested against a local server that checks signatures, and the published
// vector; never against the service itself.
package tencent
