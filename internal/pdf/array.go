package pdf

import "iter"

// An Array is a sequence of objects. The zero value is empty.
type Array struct {
	org     origin
	src     []byte // source from [ to ], nil when built
	at      int64
	items   []item
	scanned bool
	shared  bool
	changed bool
}

type item struct {
	s, e int32
	val  Object
}

// MakeArray returns an array of the given objects.
func MakeArray(o ...Object) *Array {
	a := &Array{at: -1, scanned: true, changed: true, items: make([]item, 0, len(o))}
	a.Append(o...)
	return a
}

// MakeNumbers returns an array of numbers, whole ones as integers.
func MakeNumbers(f ...float64) *Array {
	a := &Array{at: -1, scanned: true, changed: true, items: make([]item, len(f))}
	for i, v := range f {
		a.items[i].val = NumberObject(v)
	}
	return a
}

func (a *Array) scan() {
	if a.scanned {
		return
	}
	a.scanned = true
	if len(a.src) < 2 {
		return
	}
	b := a.src[:len(a.src)-1]
	for i := 1; ; {
		s, e, err := skipValue(b, i, true, maxDepth)
		if err != nil || s >= len(b) {
			return
		}
		a.items = append(a.items, item{s: int32(s), e: int32(e)})
		i = e
	}
}

// Len returns the number of elements.
func (a *Array) Len() int {
	if a == nil {
		return 0
	}
	a.scan()
	return len(a.items)
}

// At returns element i as it stands, a Ref not followed; Null if there is no
// such element.
func (a *Array) At(i int) Object {
	if a == nil {
		return Null{}
	}
	a.scan()
	if i < 0 || i >= len(a.items) {
		return Null{}
	}
	return a.value(&a.items[i])
}

func (a *Array) value(e *item) Object {
	if e.val != nil {
		return e.val
	}
	return parseValue(a.src, int(e.s), int(e.e), a.org, a.at, false)
}

// All yields the elements with their index.
func (a *Array) All() iter.Seq2[int, Object] {
	return func(yield func(int, Object) bool) {
		if a == nil {
			return
		}
		if a.scanned || a.src == nil {
			for i := range a.items {
				if !yield(i, a.value(&a.items[i])) {
					return
				}
			}
			return
		}
		b := a.src[:len(a.src)-1]
		for n, i := 0, 1; ; n++ {
			s, e, err := skipValue(b, i, true, maxDepth)
			if err != nil || s >= len(b) || !yield(n, parseValue(a.src, s, e, a.org, a.at, false)) {
				return
			}
			i = e
		}
	}
}

// Clone returns a copy that can be changed without changing a.
func (a *Array) Clone() *Array {
	if a == nil {
		return MakeArray()
	}
	a.scan()
	c := *a
	c.shared, a.shared = true, true
	return &c
}

func (a *Array) own() {
	a.scan()
	if a.shared || !a.changed {
		a.items = append(make([]item, 0, len(a.items)+4), a.items...)
		a.shared = false
	}
	a.changed = true
}

// Append adds objects at the end; nil is written as null.
func (a *Array) Append(o ...Object) {
	a.own()
	for _, v := range o {
		if v == nil {
			v = Null{}
		}
		a.items = append(a.items, item{val: v})
	}
}

// Set replaces element i, which must exist.
func (a *Array) Set(i int, o Object) {
	a.own()
	if o == nil {
		o = Null{}
	}
	a.items[i] = item{val: o}
}

// Delete removes element i, which must exist.
func (a *Array) Delete(i int) {
	a.own()
	a.items = append(a.items[:i], a.items[i+1:]...)
}

// Numbers returns the elements if all of them are numbers standing directly in
// the array.
func (a *Array) Numbers() ([]float64, bool) {
	if a == nil {
		return nil, false
	}
	out := make([]float64, 0, 4)
	if a.src != nil && !a.changed { // without making Objects of them
		b := a.src[1 : len(a.src)-1]
		for i := 0; ; {
			k, s, e, err := next(b, i, true)
			switch {
			case err == nil && k == kEOF:
				return out, true
			case err != nil || k != kInt && k != kReal:
				return nil, false
			}
			out, i = append(out, parseNumber(b[s:e], k)), e
		}
	}
	for _, o := range a.All() {
		f, ok := Number(o)
		if !ok {
			return nil, false
		}
		out = append(out, f)
	}
	return out, true
}

// Span returns where the array stands in the file, as [Dict.Span].
func (a *Array) Span() (s Span, ok bool) {
	if a == nil || a.src == nil || a.at < 0 || a.changed {
		return Span{}, false
	}
	return Span{a.at, int64(len(a.src))}, true
}
