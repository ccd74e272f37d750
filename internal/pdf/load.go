package pdf

// Resolve follows o if it is a reference, and references it leads to.
func (d *Doc) Resolve(o Object) (Object, error) {
	v, err := d.resolve(o)
	if _, ok := o.(Ref); ok {
		v = fresh(v)
	}
	return v, err
}

// resolve is Resolve without the copy, see [Doc.load].
func (d *Doc) resolve(o Object) (Object, error) {
	for range 32 {
		r, ok := o.(Ref)
		if !ok {
			if o == nil {
				return Null{}, nil
			}
			return o, nil
		}
		v, err := d.load(r)
		if err != nil {
			return nil, err
		}
		o = v
	}
	return nil, limit("object", -1, "chain of references too long")
}

// Lookup returns the value of key in dict with references followed, Null if
// it is absent. dict may be nil.
func (d *Doc) Lookup(dict *Dict, key Name) (Object, error) {
	o, _, err := d.follow(dict, key)
	return o, err
}

// follow also returns the reference the value was reached by.
func (d *Doc) follow(dict *Dict, key Name) (o Object, ref Ref, err error) {
	ref, ok := dict.Ref(key)
	if !ok {
		if o = dict.Get(key); o == nil {
			o = Null{}
		}
		return o, Ref{}, nil
	}
	if o, err = d.Object(ref); err == nil {
		o, err = d.Resolve(o)
	}
	return o, ref, err
}

// LookupDict returns the dictionary that is the value of key (of a stream its
// dictionary), and the reference it was reached by, zero if it stands directly
// in dict. It is nil without error if the key is absent or of another type.
func (d *Doc) LookupDict(dict *Dict, key Name) (*Dict, Ref, error) {
	o, ref, err := d.follow(dict, key)
	if err != nil {
		return nil, ref, err
	}
	switch o := o.(type) {
	case *Dict:
		return o, ref, nil
	case *Stream:
		return o.Dict, ref, nil
	}
	return nil, ref, nil
}

// LookupArray returns the array that is the value of key and the reference it
// was reached by, as [Doc.LookupDict].
func (d *Doc) LookupArray(dict *Dict, key Name) (*Array, Ref, error) {
	o, ref, err := d.follow(dict, key)
	if err != nil {
		return nil, ref, err
	}
	a, _ := o.(*Array)
	return a, ref, nil
}

// LookupName returns the name that is the value of key, "" if it is none.
func (d *Doc) LookupName(dict *Dict, key Name) (Name, error) {
	o, err := d.Lookup(dict, key)
	n, _ := o.(Name)
	return n, err
}

// LookupInt returns the number that is the value of key, def if it is none.
func (d *Doc) LookupInt(dict *Dict, key Name, def int64) (int64, error) {
	o, err := d.Lookup(dict, key)
	switch v := o.(type) {
	case Int:
		return int64(v), err
	case Real:
		if v > -1e15 && v < 1e15 {
			return int64(v), err
		}
	}
	return def, err
}

// LookupText returns the text string that is the value of key; ok is false if
// it is no string.
func (d *Doc) LookupText(dict *Dict, key Name) (text string, ok bool, err error) {
	o, err := d.Lookup(dict, key)
	s, ok := o.(String)
	return DecodeText(s.B), ok, err
}

// LookupNumbers returns the array of numbers that is the value of key, its
// elements direct or not; nil if it is none.
func (d *Doc) LookupNumbers(dict *Dict, key Name) ([]float64, error) {
	a, _, err := d.LookupArray(dict, key)
	if err != nil || a == nil {
		return nil, err
	}
	return d.numbers(a)
}

func (d *Doc) numbers(a *Array) (out []float64, err error) {
	if out, ok := a.Numbers(); ok {
		return out, nil
	}
	for i, o := range a.All() {
		if o, err = d.Resolve(o); err != nil {
			return nil, err
		}
		f, ok := Number(o)
		if !ok || i > 1<<16 {
			return nil, nil
		}
		out = append(out, f)
	}
	return out, nil
}

// dictAt returns the dictionary ref refers to, or an error if it is none. It
// is the cache's own, see [Doc.load].
func (d *Doc) dictAt(ref Ref) (*Dict, error) {
	o, err := d.load(ref)
	if _, again := o.(Ref); again && err == nil {
		o, err = d.resolve(o)
	}
	if err != nil {
		return nil, err
	}
	if c, ok := o.(*Dict); ok {
		return c, nil
	}
	return nil, inObject(malformed("object", -1, "not a dictionary"), ref)
}
