package aliyun

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestPublishedVector is the one of the vendor's documentation of
// ACS3-HMAC-SHA256.
func TestPublishedVector(t *testing.T) {
	h := sign(request{Method: "POST", Host: "ecs.cn-shanghai.aliyuncs.com", Action: "RunInstances", Version: "2014-05-26",
		Query: canonicalQuery(map[string]string{"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}),
		Nonce: "3156853299f313e23d1673dc12e1703d", At: time.Date(2023, 10, 26, 10, 22, 32, 0, time.UTC),
		KeyID: "YourAccessKeyId", Secret: "YourAccessKeySecret"})
	assert.True(t, strings.HasSuffix(h["Authorization"], "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"), h["Authorization"])
}

func TestEscape(t *testing.T) {
	assert.Equal(t, "a%20b%2Bc~d%2A-_.%E5%AD%97%2F", escape("a b+c~d*-_.字/"))
}

// Sign gives the tests of this folder the headers of a request.
var Sign = sign

// Request is what Sign signs.
type Request = request
