package privacy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// lifeModel says in plain dates how a subject stands.
type lifeModel struct {
	known, asked, shredded bool
	restricted, byCancel   bool
	keep, cancelled        time.Time
	hold                   *time.Time
}

func (m *lifeModel) held(now time.Time) bool { return m.hold != nil && now.Before(*m.hold) }

// profile: contact data answers to somebody.
func (m *lifeModel) profile(now time.Time) bool {
	if m.shredded || m.asked {
		return false
	}
	if m.cancelled.IsZero() {
		return true
	}
	at, _ := privacy.Earliest([]privacy.Rule{privacy.RuleCancelled}, privacy.Facts{Cancelled: m.cancelled})
	return now.Before(at)
}

// P16 P17 T32 T48 T49 D13: whatever happens to a subject, and however late a
// sweep comes, the vault answers as plain dates do; what was proved stays proved.
func TestP17_D13_LifeAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		both := f.As(t.Context(), privacy.Accessor{Tenant: "acme", Account: "a", Approver: "b"})
		m := &lifeModel{}
		values := map[privacy.Ref]string{}
		type proof struct {
			c     privacy.Commitment
			phone string
			open  *privacy.Opening
		}
		proofs := map[uint64]*proof{}
		change := func(fn func(*storage.Tx) error) error { return f.update(fn) }
		days := func(most int) time.Duration {
			return time.Duration(rapid.IntRange(1, most).Draw(rt, "days")) * 24 * time.Hour
		}
		phone := func() string { return fmt.Sprintf("138%08d", rapid.IntRange(0, 99999999).Draw(rt, "number")) }
		opened := func(ctx context.Context, seq uint64, why privacy.Purpose) (o []privacy.Opening, err error) {
			err = storage.Update(ctx, f.mem, func(tx *storage.Tx) error {
				o, err = f.OpenTx(ctx, tx, "acme", privacy.Context{Env: "e", Seq: seq}, proofs[seq].c.K, []privacy.Field{"phone"}, why)
				return err
			})
			return o, err
		}
		seq := uint64(0)
		// gone refuses what a subject that is no more cannot do.
		gone := func(err error) bool {
			switch {
			case !m.known:
				require.ErrorIs(rt, err, privacy.ErrNotFound)
			case m.shredded:
				require.ErrorIs(rt, err, privacy.ErrErased)
			default:
				require.NoError(rt, err)
				return false
			}
			return true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"time passes": func(*rapid.T) { f.now = f.now.Add(days(20)) },
			"put": func(*rapid.T) {
				p := phone()
				ref, err := f.Put(f.ctx, li, "phone", must(privacy.NewPhone(p)))
				switch {
				case m.shredded:
					require.ErrorIs(rt, err, privacy.ErrErased)
				case m.restricted:
					require.ErrorIs(rt, err, privacy.ErrRestricted)
				default:
					require.NoError(rt, err)
					m.known, values[ref] = true, p
				}
			},
			"commit": func(*rapid.T) {
				p := phone()
				var c privacy.Commitment
				err := change(func(tx *storage.Tx) (err error) {
					c, err = f.CommitTx(tx, li, privacy.Context{Env: "e", Seq: seq + 1}, "phone", must(privacy.NewPhone(p)))
					return err
				})
				if m.shredded {
					require.ErrorIs(rt, err, privacy.ErrErased)
					return
				}
				require.NoError(rt, err)
				seq++
				m.known, proofs[seq] = true, &proof{c: c, phone: p}
			},
			"retain": func(*rapid.T) {
				until := f.now.Add(days(40))
				if !gone(change(func(tx *storage.Tx) error { return f.RetainTx(f.ctx, tx, li, until) })) && until.After(m.keep) {
					m.keep = until
				}
			},
			"hold": func(*rapid.T) {
				until := f.now.Add(days(20))
				h := privacy.Hold{ID: "h", By: "court", Basis: "order", Until: until}
				if !gone(change(func(tx *storage.Tx) error { return f.HoldTx(f.ctx, tx, li, h) })) {
					m.hold = &until
				}
			},
			"unhold": func(*rapid.T) {
				err := change(func(tx *storage.Tx) error { return f.UnholdTx(f.ctx, tx, li, "h") })
				if m.known {
					require.NoError(rt, err)
				}
				m.hold = nil
			},
			"restrict": func(*rapid.T) {
				if !gone(change(func(tx *storage.Tx) error { return f.RestrictTx(f.ctx, tx, li, "unpaid") })) {
					m.restricted, m.byCancel = true, false
				}
			},
			"cancel": func(*rapid.T) {
				if !gone(change(func(tx *storage.Tx) error { _, err := f.CancelTx(f.ctx, tx, li); return err })) && m.cancelled.IsZero() {
					m.byCancel = !m.restricted
					m.cancelled, m.restricted = f.now, true
				}
			},
			"reopen": func(*rapid.T) {
				err := change(func(tx *storage.Tx) error { return f.ReopenTx(f.ctx, tx, li) })
				switch {
				case !m.known:
					require.ErrorIs(rt, err, privacy.ErrNotFound)
				case !m.profile(f.now):
					require.ErrorIs(rt, err, privacy.ErrErased)
				case m.cancelled.IsZero():
					require.ErrorIs(rt, err, privacy.ErrNotFound)
				default:
					require.NoError(rt, err)
					m.cancelled, m.restricted = time.Time{}, !m.byCancel
				}
			},
			"erase": func(*rapid.T) {
				r, err := f.EraseSubject(f.ctx, li)
				switch {
				case !m.known:
					require.ErrorIs(rt, err, privacy.ErrNotFound)
				case !m.shredded && m.held(f.now):
					require.ErrorIs(rt, err, privacy.ErrHeld)
				case !m.shredded && f.now.Before(m.keep):
					require.NoError(rt, err)
					require.Equal(rt, privacy.Restricted, r.State)
					require.Equal(rt, m.keep, r.Until)
					m.asked, m.restricted, m.byCancel = true, true, false
				default:
					require.NoError(rt, err)
					require.Equal(rt, privacy.Shredded, r.State)
					m.shredded, m.hold = true, nil
				}
			},
			"": func(*rapid.T) {
				for ref, want := range values {
					got, err := f.Reveal(f.ctx, ref, privacy.PurposeDelivery)
					switch {
					case m.restricted && !m.shredded:
						require.ErrorIs(rt, err, privacy.ErrRestricted)
					case !m.profile(f.now):
						require.ErrorIs(rt, err, privacy.ErrErased)
					default:
						require.NoError(rt, err)
						require.Equal(rt, want, must(got.Reveal(f.ctx, privacy.PurposeDelivery)))
					}
					_, err = f.Reveal(both, ref, privacy.PurposeAuthority)
					require.Equal(rt, !m.profile(f.now), errors.Is(err, privacy.ErrErased), "%v", err)
				}
				for seq, p := range proofs {
					at := privacy.Context{Env: "e", Seq: seq}
					o, err := opened(both, seq, privacy.PurposeHolder)
					if m.shredded || m.asked && !f.now.Before(m.keep) && !m.held(f.now) {
						require.ErrorIs(rt, err, privacy.ErrErased)
					} else {
						require.NoError(rt, err)
						p.open = &o[0]
					}
					if p.open != nil {
						require.True(rt, p.open.Opens(p.c.C, at))
						require.Equal(rt, p.phone, p.open.Clear())
					}
				}
				due := len(must(f.Due(f.ctx, 10))) > 0
				waits := m.asked && !f.now.Before(m.keep) || !m.asked && !m.profile(f.now)
				require.Equal(rt, waits && !m.shredded && !m.held(f.now), due, "what a sweep finds")
			},
		})
	})
}
