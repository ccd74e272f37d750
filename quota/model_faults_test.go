package quota_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/storagetest"
)

// flaky is a store whose next commit fails as it is told to, once.
type flaky struct {
	storage.Store
	fault string // before, after, crash before, crash after; empty: none
	dead  bool   // crashed: every call fails
}

var faults = []string{"", "", "", "", "", "", "before", "after", "crash before", "crash after"}

func (f *flaky) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	if f.dead {
		return nil, storagetest.ErrInjected
	}
	fault := f.fault
	f.fault = ""
	f.dead = fault == "crash before" || fault == "crash after"
	switch fault {
	case "before", "crash before":
		return nil, storagetest.ErrInjected
	case "after", "crash after":
		if _, err := f.Store.Commit(ctx, batches); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", storage.ErrUnknown, storagetest.ErrInjected)
	}
	return f.Store.Commit(ctx, batches)
}

func (f *flaky) Get(ctx context.Context, keys []storage.Key) ([]storage.Record, error) {
	if f.dead {
		return nil, storagetest.ErrInjected
	}
	return f.Store.Get(ctx, keys)
}

func (f *flaky) Entries(ctx context.Context, stream storage.Key, after uint64, limit int) ([]storage.Entry, error) {
	if f.dead {
		return nil, storagetest.ErrInjected
	}
	return f.Store.Entries(ctx, stream, after, limit)
}

func (f *flaky) Due(ctx context.Context, kind string, until time.Time, limit int) ([]storage.Key, error) {
	if f.dead {
		return nil, storagetest.ErrInjected
	}
	return f.Store.Due(ctx, kind, until, limit)
}

func (f *flaky) List(ctx context.Context, tenant, kind, after string, limit int) ([]storage.Record, error) {
	if f.dead {
		return nil, storagetest.ErrInjected
	}
	return f.Store.List(ctx, tenant, kind, after, limit)
}

// over puts the run's ledger over a store, perhaps with a group between.
func (m *machine) over(t *rapid.T, s storage.Store, grouped bool) {
	m.close()
	m.store, m.group = &flaky{Store: s}, nil
	cfg := m.cfg
	cfg.Store = m.store
	if grouped {
		m.group = storage.Group(m.store, nil)
		cfg.Store = m.group
	}
	var err error
	m.l, err = quota.New(cfg)
	require.NoError(t, err)
	cfg.Store = s
	m.audit, err = quota.New(cfg)
	require.NoError(t, err)
}

func (m *machine) close() {
	if m.group != nil {
		_ = m.group.Close()
	}
}

// restart forgets everything but the store.
func (m *machine) restart(t *rapid.T) { m.over(t, m.store.Store, m.group != nil) }

// method is an operation of the ledger.
type method[Q, A any] = func(*quota.Ledger, context.Context, Q) (A, error)

// do makes a call, perhaps one that the store fails under: then nothing or all
// of it is stored (I10), and the caller repeats it, after a crash from a new
// process.
func do[Q, A any](m *machine, t *rapid.T, call method[Q, A], req Q) (A, error) {
	fault := rapid.SampledFrom(faults).Draw(t, "fault")
	m.store.fault = fault
	a, err := call(m.l, m.ctx, req)
	m.again = m.store.fault != fault
	m.store.fault = ""
	if err != nil && errors.Is(err, storagetest.ErrInjected) {
		if m.store.dead {
			m.restart(t)
		}
		a, err = call(m.l, m.ctx, req)
	}
	return a, err
}

// port moves the ledger to another store by way of an export.
func (m *machine) port(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip("not now")
	}
	var out bytes.Buffer
	require.NoError(t, m.l.Export(m.ctx, tenant, &out))
	m.over(t, new(storage.Mem), m.group != nil)
	require.NoError(t, m.l.Import(m.ctx, tenant, bytes.NewReader(out.Bytes())))
	var again bytes.Buffer
	require.NoError(t, m.l.Export(m.ctx, tenant, &again))
	require.Equal(t, out.String(), again.String())
}

// many reserves for two envelopes in one commit: each on its own. A call that
// ran again was refused what it was refused, for what the others had left.
func (m *machine) many(t *rapid.T) {
	name, real, _ := m.account(t)
	reqs := make([]quota.ReserveRequest, 2)
	for i := range reqs {
		reqs[i] = quota.ReserveRequest{Tenant: tenant, ID: quota.HoldID(m.id("env") + "/1"), Account: name, Lines: m.lines(t)}
	}
	type answer struct {
		holds []quota.Hold
		errs  []error
	}
	a, err := do(m, t, func(l *quota.Ledger, ctx context.Context, reqs []quota.ReserveRequest) (a answer, err error) {
		a.holds, a.errs, err = l.ReserveMany(ctx, reqs)
		return a, err
	}, reqs)
	require.NoError(t, err)
	for i, req := range reqs {
		at := m.m.at(real, m.now)
		if got, refused := m.refused(t, real, at, req.Lines, a.errs[i]); !refused {
			m.hold(req.ID, real, at, req.Lines, got, a.holds[i])
		}
	}
}

// reversals checks that no more of a hold ends than was held (I5).
func reversals(t require.TestingT, st quota.Statement) {
	left := map[uint64]quota.Units{}
	for _, l := range st.Lines {
		switch {
		case l.Kind == quota.EntryHold:
			left[l.Seq] = l.Units
		case l.Reverses != 0:
			left[l.Reverses] -= l.Units
			require.GreaterOrEqual(t, left[l.Reverses], quota.Units(0), "reversals of entry %d (I5)", l.Reverses)
		}
	}
}
