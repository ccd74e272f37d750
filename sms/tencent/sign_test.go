package tencent

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestPublishedVector is the one of the vendor's documentation of
// TC3-HMAC-SHA256; the asterisks are part of the key.
func TestPublishedVector(t *testing.T) {
	body := `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	got := authorization("cvm", "cvm.tencentcloudapi.com", []byte(body), time.Unix(1551113065, 0), "id", "Gu5t9xGARNpq86cd98joQYCN3*******")
	assert.True(t, strings.HasSuffix(got, "Signature=2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c"), got)
}

// Authorization gives the tests of this folder the header of a request.
var Authorization = authorization
