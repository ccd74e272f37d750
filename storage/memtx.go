package storage

import "context"

// memSlot is where a run of [Update] on a [Mem] found a record, so that the
// commit need not search again.
type memSlot struct {
	kind    *memKind
	created uint64     // by kind, when the record was absent
	rec     *memRecord // nil: absent
	life    uint32     // of rec, when it was found
}

// known returns the records of a key's tenant and kind, if they were asked for
// before. It takes no lock.
func (m *Mem) known(k Key) *memKind {
	if k.Kind == "" {
		return nil
	}
	if in := m.recent[recentKind(k.Tenant, k.Kind)].Load(); in != nil && in.kind == k.Kind && in.tenant == k.Tenant {
		return in
	}
	return nil
}

// fill makes a slot known. It does not wait.
func (m *Mem) fill(s *slot) {
	m.mu.RLock()
	m.look(s)
	m.mu.RUnlock()
}

func (m *Mem) look(s *slot) {
	k := &s.rec.Key
	s.known, s.cached = true, false
	if s.mem.kind == nil {
		if s.mem.kind = m.kind(k.Tenant, k.Kind); s.mem.kind == nil {
			return
		}
	}
	r := m.get(s.mem.kind, k.ID, s.hash)
	if s.mem.rec = r; r == nil {
		s.mem.created = s.mem.kind.created
		return
	}
	s.mem.life, s.val = r.life, m.val(r)
	s.rec.Version, s.rec.Seq, s.rec.Data, s.rec.Due = r.version, m.seq(r), m.data.get(r.data), DueTime(r.due)
}

// shard is where a group first wrote a record, from 1; 0 if none did. The key was
// checked.
func (m *Mem) shard(k Key) (n int32) {
	m.mu.RLock()
	if r := m.find(k); r != nil {
		n = r.shard
	}
	m.mu.RUnlock()
	return n
}

// attach keeps a value that was decoded from what the slot found.
func (m *Mem) attach(s *slot) {
	m.mu.Lock()
	if m.unchanged(s) {
		m.heat(s.mem.rec).val = s.val
	}
	m.mu.Unlock()
}

// same reports whether the records that a run found are still as they were.
func (m *Mem) same(slots []*slot) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range slots {
		if s.seen && s.known && !m.unchanged(s) {
			return false
		}
	}
	return true
}

// unchanged reports whether a record still has the version that a run found.
func (m *Mem) unchanged(s *slot) bool {
	if s.rec.Version > 0 {
		return s.mem.rec.version == s.rec.Version && s.mem.rec.life == s.mem.life
	}
	if s.mem.kind != nil && s.mem.kind.created == s.mem.created {
		return true
	}
	k := &s.rec.Key
	in := m.kind(k.Tenant, k.Kind)
	return in == nil || m.get(in, k.ID, s.hash) == nil
}

// commit is Commit of what a run wrote, checked before.
func (m *Mem) commit(ctx context.Context, tx *Tx, shard int32) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, s := range tx.order {
		if err := s.plan.settle(s.rec.Key); err != nil {
			return false, err
		}
	}
	entries := tx.stamp()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range tx.order {
		switch {
		case s.plan.op == opNone && (!s.valid || s.rec.Version == 0), s.plan.op == opDelete && s.rec.Version == 0:
			continue
		case !s.known:
			m.look(s) // a creation that did not look
		}
		if !m.unchanged(s) {
			return false, nil
		}
		if s.plan.op == opDelete && m.seq(s.mem.rec) > 0 {
			return false, deletedStream(s.rec.Key)
		}
	}
	for _, s := range tx.order {
		switch {
		case s.plan.op == opPut:
			r := m.write(s.rec.Key, s.hash, s.mem.rec, s.rec.Version+1, s.plan.due, s.plan.data, s.plan.val)
			if r.shard == 0 {
				r.shard = shard
			}
		case s.plan.op == opDelete && s.rec.Version > 0:
			m.remove(s.rec.Key, s.mem.rec)
		}
	}
	m.appendAll(entries)
	return true, nil
}
