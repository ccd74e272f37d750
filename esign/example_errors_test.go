package esign_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms"
)

// A host answers people in its own words: by the code, which never changes, and
// by the detail of the types that have some.
func ExampleErrorCode() {
	beijing := time.FixedZone("", 8*3600)
	next := time.Date(2026, 3, 2, 9, 1, 0, 0, beijing)
	for _, err := range []error{
		esign.ErrNotFound,
		&esign.TurnError{Waiting: []string{"li"}},
		sms.ErrCode,
		&sms.LimitError{Scope: "code", Next: next},
		&quota.InsufficientError{Shortfalls: []quota.Shortfall{{Unit: quota.UnitSign, Kind: quota.KindOrdinary, Need: 2, Have: 1}}},
	} {
		say := "请稍后再试"
		var limit *sms.LimitError
		switch esign.ErrorCode(err) {
		case "not_found":
			say = "找不到该文件"
		case "turn":
			say = "请等待前一位签署人完成签署"
		case "code_not_accepted":
			say = "验证码错误或已失效"
		case "limited":
			if errors.As(err, &limit) {
				say = "验证码发送过于频繁，请于 " + limit.Next.In(beijing).Format("15:04") + " 后重试"
			}
		case "insufficient_units":
			say = "签署份额不足"
		}
		fmt.Printf("%s: %s\n", esign.ErrorCode(err), say)
	}
	// Output:
	// not_found: 找不到该文件
	// turn: 请等待前一位签署人完成签署
	// code_not_accepted: 验证码错误或已失效
	// limited: 验证码发送过于频繁，请于 09:01 后重试
	// insufficient_units: 签署份额不足
}
