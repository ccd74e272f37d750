package pades

import (
	"maps"
	"slices"

	"github.com/countersign/countersign/internal/pdf"
)

// change is a [Change] with what the rules about it need.
type change struct {
	Change
	field string // full name of the field concerned
	risky bool   // an annotation that can pass for content, a field that shows another value than it has
	shown bool   // a new field that stands on a page
}

// differ compares two states of a document that one revision lies between.
type differ struct {
	g        *graph
	old, new *view
	revision int
	revEnd   int64           // of the revision
	touched  map[uint32]bool // numbers whose value changed
	tainted  map[uint32]bool // without a role, and what they lead to changed
	absent   map[uint32]bool // touched, and not there before
	dangling map[uint32]bool // absent, though something referred to it
	listed   map[uint32]bool // dangling, and a member of something
	offPage  map[uint32]bool // what no page shows, see inPage
	found    bool            // something that a page shows
	pageRefs map[uint32]map[uint32]bool
	out      []change
}

func newDiffer(g *graph, old, new *view, index int, end int64) *differ {
	return &differ{
		g: g, old: old, new: new, revision: index, revEnd: end,
		touched: map[uint32]bool{}, tainted: map[uint32]bool{}, absent: map[uint32]bool{}, dangling: map[uint32]bool{}, listed: map[uint32]bool{},
		offPage: map[uint32]bool{}, pageRefs: map[uint32]map[uint32]bool{},
	}
}

// salvaged compares a sound prefix with a whole that could be read only by
// repair: every object of either.
func salvaged(old, new *pdf.Doc) ([]change, error) {
	a, err := newView(old)
	if err != nil {
		return nil, err
	}
	b, err := newView(new)
	if err != nil {
		return nil, err
	}
	g, err := newGraph(old)
	if err != nil {
		return nil, err
	}
	nums := map[uint32]bool{}
	if err := allNumbers(nums, old, new); err != nil {
		return nil, err
	}
	return newDiffer(g, a, b, 1, new.Size()).run(nums)
}

// step lists what a revision changed. rev is the revision; g grows by what it
// wrote.
func step(g *graph, old, new *view, rev pdf.Revision, index int) ([]change, error) {
	d := newDiffer(g, old, new, index, rev.EndEOL)
	nums := map[uint32]bool{}
	for e, err := range rev.Entries() {
		if err != nil {
			return nil, err
		}
		if e.Ref.Num == 0 {
			continue
		}
		if nums[e.Ref.Num] {
			// In a hybrid section the stream may have what the table says is free.
			counts, _, err := new.doc.Entry(e.Ref.Num)
			if err != nil || rev.Kind != pdf.Hybrid || counts != e && counts.Kind != pdf.Free && e.Kind != pdf.Free {
				d.report(e.Ref.Num, "", ChangesOther, "the section has two entries for the object")
			}
		}
		nums[e.Ref.Num] = true
	}
	if why := new.doc.Doubtful(rev); why != "" {
		d.report(trailerNum, "", ChangesOther, why)
	}
	if !new.doc.Continues(old.doc, rev) {
		// The revision builds on something else than what stood there: what its
		// own section mentions does not tell all that changed.
		if err := allNumbers(nums, old.doc, new.doc); err != nil {
			return nil, err
		}
		if err := g.spend(len(nums)); err != nil {
			return nil, err
		}
	}
	return d.run(nums)
}

// allNumbers adds every object of either document.
func allNumbers(nums map[uint32]bool, docs ...*pdf.Doc) error {
	for _, d := range docs {
		for ref, err := range d.Numbers() {
			if err != nil {
				return err
			}
			nums[ref.Num] = true
		}
	}
	return nil
}

// run compares the objects of the given numbers and classes what changed.
func (d *differ) run(nums map[uint32]bool) ([]change, error) {
	if err := d.compare(nums); err != nil {
		return nil, err
	}
	if err := d.trailer(); err != nil {
		return nil, err
	}
	if d.new.treeErr != nil && d.old.treeErr == nil {
		d.report(trailerNum, "Root", ChangesOther, "the page tree cannot be read")
	}
	if len(d.touched) > 0 {
		if d.structural() {
			if err := d.old.walkStruct(); err != nil {
				return nil, err
			}
			if err := d.new.walkStruct(); err != nil {
				return nil, err
			}
		}
		reached := d.propagate()
		if err := d.judge(reached); err != nil {
			return nil, err
		}
	}
	return d.out, nil
}

func (d *differ) report(num uint32, key string, class Changes, note string) *change {
	d.out = append(d.out, change{Change: Change{Revision: d.revision, Object: int(num), Key: key, Class: class, Note: note}})
	return &d.out[len(d.out)-1]
}

// compare finds the numbers whose value changed.
func (d *differ) compare(nums map[uint32]bool) error {
	// More bytes change an object that the end of the file cut off.
	if err := d.g.spend(len(d.g.open)); err != nil {
		return err
	}
	for num := range d.g.open {
		if !nums[num] && d.readable(num) {
			nums[num] = true
		}
	}
	// A rewritten object stream changes objects that no section mentions.
	streams := d.rewritten(nums)
	if len(streams) > 0 {
		for ref, err := range d.old.doc.Numbers() {
			if err != nil {
				return err
			}
			if e, ok, err := d.old.doc.Entry(ref.Num); err == nil && ok && e.Kind == pdf.Compressed {
				if _, ok := streams[e.Stream]; ok {
					nums[ref.Num] = true
				}
			}
		}
	}
	for num := range nums {
		if err := d.compareOne(num); err != nil {
			return err
		}
		d.ambiguous(num)
	}
	for num, needs := range streams {
		for n := range needs {
			if d.touched[n] { // read by the letter, /Length alone can show other objects
				d.report(num, "", ChangesOther, "what an object stream depends on changed")
				break
			}
		}
	}
	for num := range d.touched {
		d.dangling[num] = d.absent[num] && len(d.g.in[num]) > 0
		d.listed[num] = d.absent[num] && slices.ContainsFunc(d.g.in[num], func(e edge) bool {
			return e.label == "Fields" || e.label == "Kids" || e.label == "Annots"
		})
		d.unused(num)
	}
	for num := range nums {
		if ref, ok := entryRef(d.new.doc, num); ok {
			d.g.read(d.new.doc, ref)
		}
	}
	return nil
}

// readable reports whether an object can be read in either state.
func (d *differ) readable(num uint32) bool {
	for _, v := range []*view{d.old, d.new} {
		if ref, ok := entryRef(v.doc, num); ok {
			if _, err := v.doc.Object(ref); err == nil {
				return true
			}
		}
	}
	return false
}

// rewritten returns the object streams of the old state that are among nums or
// depend on one of them, with what they depend on.
func (d *differ) rewritten(nums map[uint32]bool) map[uint32]map[uint32]bool {
	streams := map[uint32]map[uint32]bool{}
	for num, needs := range d.g.packs {
		if needs == nil {
			needs = map[uint32]bool{}
			if ref, ok := entryRef(d.old.doc, num); ok {
				if o, err := d.old.doc.Object(ref); err == nil {
					d.g.needs(d.old.doc, o, needs)
				}
			}
			d.g.packs[num] = needs
		}
		hit := nums[num]
		for n := range needs {
			hit = hit || nums[n]
		}
		if hit {
			streams[num] = needs
			d.g.packs[num] = nil // may be others from now on
		}
	}
	return streams
}

// unused reports an object that was there, that nothing referred to, and that
// is something else now: it was prepared for it. Cross-reference and object
// streams, which are found otherwise, and objects set free do not count.
func (d *differ) unused(num uint32) {
	if d.absent[num] || len(d.g.in[num]) > 0 || d.roleOf(num) != "" {
		return
	}
	ref, ok := entryRef(d.new.doc, num)
	if !ok {
		return
	}
	if o, err := d.new.doc.Object(ref); err == nil {
		if pdf.IsNull(o) {
			return
		}
		if s, ok := o.(*pdf.Stream); ok && (s.Dict.Get("Type") == pdf.Name("XRef") || s.Dict.Get("Type") == pdf.Name("ObjStm")) {
			return
		}
	}
	d.report(num, "", ChangesOther, "an unused object was replaced")
}

func (d *differ) compareOne(num uint32) error {
	oldRef, wasThere := entryRef(d.old.doc, num)
	newRef, isThere := entryRef(d.new.doc, num)
	ref := oldRef
	if !wasThere {
		ref = newRef
	}
	if !wasThere && !isThere {
		return nil
	}
	a, errA := d.old.doc.Object(ref)
	b, errB := d.new.doc.Object(ref)
	if errA != nil || errB != nil {
		if code := CodeOf(wrap("verify", firstError(errA, errB))); code == ErrIO {
			return firstError(errA, errB)
		}
		d.touched[num] = true
		if errA == nil {
			d.report(num, "", ChangesOther, "an object cannot be read any more") // others repair the file then
		}
		return nil
	}
	same, err := pdf.Equal(d.old.doc, a, d.new.doc, b)
	if err != nil && CodeOf(wrap("verify", err)) == ErrIO {
		return err
	}
	if same && err == nil {
		return nil
	}
	d.touched[num] = true
	if pdf.IsNull(a) {
		d.absent[num] = true
	}
	return nil
}

// ambiguous reports an object that gives a key twice, or the wrong length of its
// data, where it did not stand before: readers differ in what counts.
func (d *differ) ambiguous(num uint32) {
	ref, ok := entryRef(d.new.doc, num)
	if !ok {
		return
	}
	was, ok1, err1 := d.old.doc.Entry(num)
	is, _, err2 := d.new.doc.Entry(num)
	if err1 == nil && err2 == nil && ok1 && was == is && is.Kind == pdf.InUse {
		return // restated
	}
	o, err := d.new.doc.Object(ref)
	if err != nil {
		return
	}
	if pdf.Doubled(o) {
		d.report(num, "", ChangesOther, "a key is there twice")
	}
	if s, ok := o.(*pdf.Stream); ok {
		span, err := s.DataSpan()
		n, err2 := d.new.doc.LookupInt(s.Dict, "Length", -1)
		if err != nil || err2 != nil || n != span.Len {
			d.report(num, "Length", ChangesOther, "the length of a stream is wrong")
		}
		d.unlisted(num, s)
	}
}

// unlisted reports an object stream with an object that readers find only by
// repair.
func (d *differ) unlisted(num uint32, s *pdf.Stream) {
	if s.Dict.Get("Type") != pdf.Name("ObjStm") {
		return
	}
	list, err := d.new.doc.Packed(num)
	for _, n := range list {
		e, _, err2 := d.new.doc.Entry(n)
		if err = firstError(err, err2); err != nil || e.Kind != pdf.Compressed || e.Stream != num {
			d.report(n, "", ChangesOther, "an object stream holds an object that no section mentions")
			return
		}
	}
}

func firstError(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// entryRef returns the reference under which num is in use.
func entryRef(d *pdf.Doc, num uint32) (pdf.Ref, bool) {
	e, ok, err := d.Entry(num)
	if err != nil || !ok || e.Kind == pdf.Free {
		return pdf.Ref{Num: num}, false
	}
	return e.Ref, true
}

// trailer judges the keys of the trailer that mean something.
func (d *differ) trailer() error {
	a, b := d.old.doc.Trailer(), d.new.doc.Trailer()
	d.g.add(trailerNum, b)
	if a.Get("Root") != b.Get("Root") {
		d.report(trailerNum, "Root", ChangesOther, "another catalog")
	}
	same, err := pdf.Equal(d.old.doc, a.Get("Encrypt"), d.new.doc, b.Get("Encrypt"))
	if err != nil || !same {
		d.report(trailerNum, "Encrypt", ChangesOther, "another encryption")
	}
	if b.Repeated() {
		d.report(trailerNum, "", ChangesOther, "a key of the trailer is there twice")
	}
	return nil
}

// structural reports whether elements of the logical structure were touched.
func (d *differ) structural() bool {
	for num := range d.touched {
		for _, v := range []*view{d.old, d.new} {
			if ref, ok := entryRef(v.doc, num); ok {
				if o, err := v.doc.Object(ref); err == nil {
					switch e := o.(type) {
					case *pdf.Dict:
						if e.Has("StructTreeRoot") || e.Has("K") || e.Get("Type") == pdf.Name("StructElem") || e.Get("Type") == pdf.Name("StructTreeRoot") {
							return true
						}
					case *pdf.Array:
						return true // may be a list of kids
					}
				}
			}
		}
	}
	return false
}

// roleOf returns an object's role, if it has the same one in both states or is
// there in one only.
func (d *differ) roleOf(num uint32) role {
	if r := d.old.roles[num]; r != "" {
		return r
	}
	if _, was := entryRef(d.old.doc, num); was && !d.absent[num] {
		return "" // what is pressed into a role shows where it did before
	}
	return d.new.roles[num]
}

// inPage reports whether a page shows num by its contents or resources,
// whatever else num is listed as.
func (d *differ) inPage(num uint32) bool {
	if d.found {
		return false // one is enough, and looking for more may take long
	}
	queue, seen := []uint32{num}, map[uint32]bool{num: true}
	for len(queue) > 0 {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, e := range d.g.in[at] {
			switch r := d.roleOf(e.from); {
			case e.from == trailerNum || r == roleCatalog:
			case r == rolePage || r == rolePages:
				if d.found = d.shows(e.from)[at]; d.found {
					return true
				}
			case !seen[e.from] && !d.offPage[e.from]:
				seen[e.from] = true
				queue = append(queue, e.from)
			}
		}
	}
	maps.Copy(d.offPage, seen)
	return false
}

// shows returns what the contents and resources of a page, or of a node above
// pages, refer to.
func (d *differ) shows(page uint32) map[uint32]bool {
	if m := d.pageRefs[page]; m != nil {
		return m
	}
	m := map[uint32]bool{}
	for _, v := range []*view{d.old, d.new} {
		dict, _, err := d.dictIn(v, page)
		if err != nil || dict == nil {
			continue
		}
		for _, k := range []pdf.Name{"Contents", "Resources"} {
			eachRef(dict.Get(k), k, 0, func(_ pdf.Name, to pdf.Ref) { m[to.Num] = true })
		}
	}
	d.pageRefs[page] = m
	return m
}

// propagate walks from what was touched to the objects with a role that show
// it, and returns them with the keys it is reached by; no keys for those that
// were touched themselves.
func (d *differ) propagate() map[uint32]map[pdf.Name]bool {
	reached := map[uint32]map[pdf.Name]bool{}
	type state struct {
		num  uint32
		weak bool // it names what was touched, but does not show it
	}
	seen := map[state]bool{}
	var queue []state
	push := func(s state) {
		if !seen[s] && !(s.weak && seen[state{s.num, false}]) {
			seen[s] = true
			queue = append(queue, s)
		}
	}
	for num := range d.touched {
		switch d.roleOf(num) {
		case "":
		case rolePage, rolePages, roleCatalog:
			// Judged by their own keys; others only name them, by any key.
			reached[num] = map[pdf.Name]bool{}
			continue
		default:
			reached[num] = map[pdf.Name]bool{}
			push(state{num, true})
			continue
		}
		d.tainted[num] = true
		push(state{num, false})
	}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, e := range d.g.in[s.num] {
			if s.weak && naming[e.label] && (e.from == trailerNum || !d.g.draws(e.from)) {
				continue
			}
			weak := s.weak && e.label == "" // an array of its own: who refers to it decides
			if e.from == trailerNum {
				if !weak && (e.label == "Root" || e.label == "Encrypt") && d.roleOf(s.num) == "" {
					d.report(trailerNum, string(e.label), ChangesOther, "")
				}
				continue
			}
			if d.roleOf(e.from) != "" {
				if !weak {
					if reached[e.from] == nil {
						reached[e.from] = map[pdf.Name]bool{}
					}
					reached[e.from][e.label] = true
				}
				continue
			}
			if !weak {
				d.tainted[e.from] = true
			}
			push(state{e.from, weak})
		}
	}
	return reached
}

// same reports whether a value means the same in both states: equal as it
// stands, and no part of what it leads to was changed.
func (d *differ) same(a, b pdf.Object) bool {
	if pdf.IsNull(a) != pdf.IsNull(b) {
		// Absent and a reference to nothing are the same, unless it is there now.
		x, err1 := d.old.doc.Resolve(a)
		y, err2 := d.new.doc.Resolve(b)
		if err1 != nil || err2 != nil || pdf.IsNull(x) != pdf.IsNull(y) {
			return false
		}
		return pdf.IsNull(x)
	}
	if equal, err := pdf.Equal(d.old.doc, a, d.new.doc, b); err != nil || !equal {
		return false
	}
	return d.clean(b, map[uint32]bool{})
}

// clean reports whether nothing o leads to was changed. What is new was
// compared by value already; what it leads to in turn was not.
func (d *differ) clean(o pdf.Object, seen map[uint32]bool) bool {
	clean := true
	eachRef(o, "", 0, func(_ pdf.Name, to pdf.Ref) {
		switch {
		case !clean || !d.tainted[to.Num] || seen[to.Num]:
		case !d.absent[to.Num] || d.dangling[to.Num]:
			clean = false
		default:
			seen[to.Num] = true
			in, err := d.new.doc.Object(to)
			clean = err == nil && d.clean(in, seen)
		}
	})
	return clean
}

// changedKeys lists the keys whose value differs between two dictionaries.
func (d *differ) changedKeys(a, b *pdf.Dict) []pdf.Name {
	keys := map[pdf.Name]bool{}
	for k := range a.All() {
		keys[k] = true
	}
	for k := range b.All() {
		keys[k] = true
	}
	var list []pdf.Name
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !d.same(a.Get(k), b.Get(k)) {
			list = append(list, k)
		}
	}
	return list
}
