package sms

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
)

// A Pepper is a secret of the deployment from which codes are derived. It lives
// in the host's configuration, never in the store, so that the store alone
// yields no code.
type Pepper struct {
	ID  string // 1 to 16 characters, kept with every challenge; never reused
	Key []byte // 32 bytes or more, random
}

// Format implements [fmt.Formatter]; the key is not shown.
func (p Pepper) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "sms.Pepper(%s)", p.ID) }

// LogValue implements [slog.LogValuer].
func (p Pepper) LogValue() slog.Value { return slog.StringValue("pepper " + p.ID) }

// MarshalText refuses: a pepper is not stored by this library.
func (p Pepper) MarshalText() ([]byte, error) { return nil, errors.New("sms: pepper: not for storage") }

// A Secret is a code as typed, or the token of a [Proof]. It prints as ***.
type Secret string

// Format implements [fmt.Formatter]: every verb masks.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText masks too; JSON uses it.
func (s Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// UnmarshalText reads a code as typed. It refuses a masked one with [ErrRequest].
func (s *Secret) UnmarshalText(b []byte) error {
	if string(b) == "***" {
		return badRequest("a masked secret")
	}
	*s = Secret(b)
	return nil
}

// codeDigits is the length of a one-time code.
const codeDigits = 6

// derive makes the code of a challenge: six digits from HMAC-SHA-256 under the
// pepper over the challenge's random id and all that the code is bound to, by
// rejection sampling, so that every code is equally likely. Nothing of it is
// stored, before or after.
func derive(pepper, challenge []byte, binding ...string) Secret {
	const limit = 1 << 32 / 1_000_000 * 1_000_000 // above it a remainder would favour small codes
	for block := uint32(0); ; block++ {
		m := hmac.New(sha256.New, pepper)
		m.Write([]byte("countersign/code/v1"))
		m.Write(binary.BigEndian.AppendUint32(nil, block))
		lp(m.Write, string(challenge))
		for _, b := range binding {
			lp(m.Write, b)
		}
		sum := m.Sum(nil)
		for w := range slices.Chunk(sum, 4) {
			if v := binary.BigEndian.Uint32(w); v < limit {
				return Secret(fmt.Sprintf("%0*d", codeDigits, v%1_000_000))
			}
		}
	}
}

// lp writes s after its length, so that no two lists of parts read the same.
func lp(write func([]byte) (int, error), s string) {
	_, _ = write(binary.BigEndian.AppendUint64(nil, uint64(len(s)))) // a hash never fails
	_, _ = write([]byte(s))
}

// same compares two secrets in a time that depends on their lengths alone.
func same(a, b Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
