package membership_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/quota"
)

// TestNoTransfer_H23_H44 lists every call that names two accounts: buying for a
// friend, a seat, and binding two accounts of one person. None moves what an
// account has to another person, and a new one must be argued for here.
func TestNoTransfer_H23_H44(t *testing.T) {
	allowed := map[string]bool{
		"PurchaseRequest": true, // payer and beneficiary, before anything exists (H19)
		"UpgradeQuote":    true, // holds one
		"SeatRequest":     true, // a right of use while the team is active
		"CheckRequest":    true, // who acts, and in whose seat
		"LinkRequest":     true, // one person's two logins (H29)
		"MergeRequest":    true, // the lots of accounts so bound (D09)
	}
	account := reflect.TypeFor[quota.AccountID]()
	var count func(reflect.Type, int) int
	count = func(typ reflect.Type, depth int) (n int) {
		switch {
		case typ == account:
			return 1
		case depth > 4:
			return 0
		case typ.Kind() == reflect.Struct && typ.PkgPath() != "time":
			for i := range typ.NumField() {
				n += count(typ.Field(i).Type, depth+1)
			}
		}
		return n
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[*quota.Ledger](), reflect.TypeFor[*membership.Service]()} {
		for i := range typ.NumMethod() {
			method := typ.Method(i)
			accounts := 0
			name := ""
			for k := 1; k < method.Type.NumIn(); k++ {
				in := method.Type.In(k)
				if n := count(in, 0); n > 0 {
					accounts += n
					name = in.Name()
				}
			}
			if accounts > 1 {
				assert.True(t, allowed[name], "%s.%s names %d accounts", typ, method.Name, accounts)
			}
		}
	}
}
