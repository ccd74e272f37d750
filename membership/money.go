package membership

import (
	"fmt"
	"math"
	"math/bits"
)

// Money is an amount in the minor unit of its currency: fen for CNY.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"` // ISO 4217
}

// String renders money as its minor units and currency, such as "19900 CNY".
func (m Money) String() string { return fmt.Sprintf("%d %s", m.Amount, m.Currency) }

// A Rounding says what becomes of a fraction of a minor unit.
type Rounding string

// Roundings of amounts that are not negative.
const (
	Down   Rounding = "down"
	HalfUp Rounding = "half_up"
	Up     Rounding = "up"
)

// MulDiv returns m times num divided by den, with no overflow in between. It
// fails with [ErrOverflow] if the result does not fit, and with [ErrRequest] for
// a negative amount or factor, or a den that is not positive.
func (m Money) MulDiv(num, den int64, r Rounding) (Money, error) {
	if m.Amount < 0 || num < 0 || den <= 0 {
		return Money{}, badRequest("amount", "negative, or divided by nothing")
	}
	hi, lo := bits.Mul64(uint64(m.Amount), uint64(num))
	d := uint64(den)
	if hi >= d {
		return Money{}, fmt.Errorf("%w: amount", ErrOverflow)
	}
	q, rest := bits.Div64(hi, lo, d)
	up := false
	switch r {
	case HalfUp:
		up = rest >= d-rest
	case Up:
		up = rest > 0
	case Down:
	default:
		return Money{}, badRequest("rounding", "unknown")
	}
	if up {
		q++
	}
	if q > math.MaxInt64 {
		return Money{}, fmt.Errorf("%w: amount", ErrOverflow)
	}
	return Money{Amount: int64(q), Currency: m.Currency}, nil
}

// bps is the number of basis points in a whole.
const bps = 10000

// tax returns the tax that a price includes, or that is added to it.
func tax(price Money, rate int32, inclusive bool) (Money, error) {
	if inclusive {
		return price.MulDiv(int64(rate), bps+int64(rate), HalfUp)
	}
	return price.MulDiv(int64(rate), bps, HalfUp)
}

// A Fee is what a payment platform keeps of a payment: a share in basis points,
// rounded half up. The rule in force at the purchase decides a later refund (D11).
type Fee struct {
	Bps int32 `json:"bps"`
}

func (f Fee) of(paid Money) (Money, error) { return paid.MulDiv(int64(f.Bps), bps, HalfUp) }
