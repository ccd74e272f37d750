package quota

// A slab is zeroed memory that answers take their parts of: one piece serves some.
type slab[T any] []T

// slabSize bounds what an answer keeps from being freed besides itself. So many
// lines, of 224 bytes each, leave little of a piece that the allocator gives.
const slabSize = 36

// room returns an empty slice that n members fit in; what is left of its capacity
// is the slab again. About n will be asked for more times.
func (s slab[T]) room(n, more int) []T {
	if s == nil || cap(s)-len(s) < n {
		return make([]T, 0, max(n, min(n*more, slabSize)))
	}
	return s[len(s):]
}

// take returns n members.
func (s *slab[T]) take(n, more int) []T {
	*s = s.room(n, more)[:n]
	return (*s)[:n:n]
}
