package pades

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/countersign/countersign/internal/cms"
	"github.com/countersign/countersign/internal/pdf"
)

// tokenRoom is kept in Contents for a timestamp token of unknown size (W4).
const tokenRoom = 8 << 10

// plan is a signature that nothing speaks against: every refusal comes before
// a plan is made, and every object of the revision is in its editor.
type plan struct {
	spec     Spec
	template *cms.Template
	editor   editor
	room     int // for the timestamp token
	field    string
	sigRef   pdf.Ref
	holes    container // in the signature dictionary
}

// subFilter of the signature a profile asks for.
func (p Profile) subFilter() string {
	if p == ProfileCMS {
		return subFilterPKCS7
	}
	return subFilterCAdES
}

// timestamped reports whether a profile has a signature timestamp.
func (p Profile) timestamped() bool {
	return p == ProfileBT || p == ProfileBLT || p == ProfileBLTA
}

func newPlan(ctx context.Context, op string, r io.ReaderAt, size int64, s Spec, room int) (*plan, error) {
	if err := s.normalize(op); err != nil {
		return nil, err
	}
	p := &plan{spec: s, room: room}
	o := cms.Options{Algorithm: cms.Algorithm(s.Algorithm), GMT: s.GMT}
	if s.Profile == ProfileCMS {
		o.SigningTime = s.Info.Time
	}
	var err error
	if p.template, err = cms.New(s.Chain, &o); err != nil {
		return nil, wrap(op, err)
	}
	d, err := open(ctx, op, r, size, s.Open)
	if err != nil {
		return nil, err
	}
	if err := mended(d, func() error {
		p.editor = editor{}
		if err := p.editor.begin(op, d, s.Open != nil && s.Open.InsecureSignRepaired); err != nil {
			return err
		}
		return p.draw(op)
	}); err != nil {
		return nil, wrap(op, err)
	}
	return p, nil
}

// normalize fills in defaults and refuses what contradicts itself.
func (s *Spec) normalize(op string) error {
	switch s.Profile {
	case "":
		s.Profile = ProfileBB
	case ProfileBB, ProfileBT, ProfileBLT, ProfileBLTA, ProfileCMS:
	default:
		return refusef(ErrUsage, op, "no profile %q", s.Profile)
	}
	if len(s.Chain) == 0 || s.Chain[0] == nil {
		return refuse(ErrUsage, op, errors.New("the chain is empty"))
	}
	if s.Certify < 0 || s.Certify > 3 {
		return refusef(ErrUsage, op, "certify is 0 to 3, not %d", s.Certify)
	}
	if s.Lock != nil {
		if err := s.Lock.check(); err != nil {
			return refuse(ErrUsage, op, err)
		}
	}
	if s.Stamp != nil {
		if s.Stamp.As != "" && s.Stamp.As != AsWidget {
			return refusef(ErrUsage, op, "the signature's own stamp cannot be %q", s.Stamp.As)
		}
		if err := checkRect(s.Stamp.Rect); err != nil {
			return refuse(ErrUsage, op, err)
		}
	}
	for _, name := range s.Keep {
		if _, err := cms.NewHash(name); err != nil {
			return refuse(ErrUsage, op, err)
		}
	}
	if s.Info.Time.IsZero() {
		s.Info.Time = time.Now()
	}
	s.Info.Time = s.Info.Time.UTC().Truncate(time.Second)
	return nil
}

// draw puts everything but the placeholders into the editor.
func (p *plan) draw(op string) error {
	e, s := &p.editor, p.spec
	allowed, err := e.form.restrictions()
	if err != nil {
		return err
	}
	edit := s.Edit
	edit.Fields = nil
	for _, n := range s.Edit.Fields {
		// The field to be signed may be new beside earlier signatures: it is
		// signed in the revision that adds it.
		if n.Name != s.Field || n.Type != FieldSignature {
			edit.Fields = append(edit.Fields, n)
		}
	}
	if refusal := allowed.edit(op, edit); refusal != nil {
		return refusal
	}
	x, err := p.pick(op)
	if err != nil {
		return err
	}
	p.field = s.Field
	if x != nil {
		p.field = x.Name
	} else if p.field == "" {
		p.field = e.form.freeName()
	}
	if refusal := allowed.sign(op, p.field, s.Certify); refusal != nil {
		return refusal
	}
	if static, dynamic, err := hasXFA(e.doc); err != nil {
		return err
	} else if dynamic || static && len(s.Edit.Values) > 0 {
		e.warn = append(e.warn, refuse(ErrNotSupported, op, errors.New("the form has an XFA part, which stays as it is")))
	}
	if err := e.edit(s.Edit); err != nil {
		return err
	}
	if x == nil && s.Field != "" {
		if x = e.form.field(s.Field); x == nil {
			return refusef(ErrFieldNotFound, op, "no field %q", s.Field)
		}
	}
	p.sigRef = e.u.Alloc()
	if x == nil {
		err = p.addField(allowed)
	} else {
		err = p.fillField(op, x, allowed)
	}
	if err != nil {
		return err
	}
	lock := s.Lock
	if lock == nil && x != nil {
		d, err := e.dict(x.Ref)
		if err != nil {
			return err
		}
		if lock, err = e.lockOf(d); err != nil {
			return err
		}
	}
	if err := p.dictionary(lock); err != nil {
		return err
	}
	return e.flagSigned()
}

// pick finds the existing field to sign; nil asks for a new one.
func (p *plan) pick(op string) (*pdf.Field, error) {
	f := p.editor.form
	if p.spec.Field != "" {
		x := f.field(p.spec.Field)
		if x == nil {
			for _, n := range p.spec.Edit.Fields {
				if n.Name == p.spec.Field && n.Type == FieldSignature {
					return nil, nil
				}
			}
			return nil, refusef(ErrFieldNotFound, op, "no field %q", p.spec.Field)
		}
		switch {
		case x.Type != "Sig":
			return nil, refusef(ErrUsage, op, "field %q is no signature field", x.Name)
		case f.isSigned(x.Name):
			return nil, refusef(ErrFieldSigned, op, "field %q is signed", x.Name)
		}
		return x, nil
	}
	var only *pdf.Field
	for i := range f.fields {
		x := &f.fields[i]
		if x.Type != "Sig" || f.isSigned(x.Name) || x.Ref == (pdf.Ref{}) {
			continue
		}
		if only != nil {
			return nil, nil
		}
		only = x
	}
	return only, nil
}

// addField creates the field that will be signed.
func (p *plan) addField(allowed restrictions) error {
	e, s := &p.editor, p.spec
	n := NewField{Name: p.field, Type: FieldSignature, Lock: s.Lock}
	extra := []pdf.KV{{Key: "V", Value: p.sigRef}}
	if s.Stamp != nil {
		if !visible(s.Stamp.Rect) {
			return refusef(ErrUsage, e.op, "a new field's stamp needs a rectangle")
		}
		n.Page, n.Rect = s.Stamp.Page, s.Stamp.Rect
		if allowed.signed {
			e.warn = append(e.warn, refuse(ErrUsage, e.op, errors.New("a new visible field beside earlier signatures")))
		}
		page, err := e.page(max(n.Page, 1))
		if err != nil {
			return err
		}
		look, err := e.artLook(s.Stamp.Art, n.Rect, page.Rotate)
		if err != nil {
			return err
		}
		extra = append(extra, pdf.KV{Key: "AP", Value: pdf.MakeDict(pdf.KV{Key: "N", Value: look})})
	}
	_, err := e.newField(n, extra...)
	return err
}

// fillField fills an empty field, and its widget's look.
func (p *plan) fillField(op string, x *pdf.Field, allowed restrictions) error {
	e, s := &p.editor, p.spec
	if x.Ref == (pdf.Ref{}) {
		return refusef(ErrNotSupported, op, "field %q stands directly in the field tree", x.Name)
	}
	d, err := e.dict(x.Ref)
	if err != nil {
		return err
	}
	sv, err := e.seedOf(d)
	if err != nil {
		return err
	}
	m := p.made()
	if broken := sv.broken(m); len(broken) > 0 {
		return refusef(ErrSeedValue, op, "field %q: %s", x.Name, broken[0])
	}
	for _, text := range sv.unmet(m) {
		e.warn = append(e.warn, refusef(ErrSeedValue, op, "field %q prefers: %s", x.Name, text))
	}
	if s.Lock != nil {
		own, err := e.lockOf(d)
		if err != nil {
			return err
		}
		if own != nil {
			return refusef(ErrUsage, op, "field %q has a lock of its own", x.Name)
		}
		if allowed.signed {
			return refuse(ErrMDPForbids, op, fmt.Errorf("lock on field %q: %w", x.Name, errLater))
		}
		d.Set("Lock", e.u.Add(s.Lock.dict()))
	}
	d.Set("V", p.sigRef)
	if len(x.Widgets) == 0 {
		if s.Stamp != nil {
			return refusef(ErrUsage, op, "field %q has no widget for a stamp", x.Name)
		}
		return nil
	}
	return p.fillWidget(op, x, allowed)
}

func (p *plan) fillWidget(op string, x *pdf.Field, allowed restrictions) error {
	e, s := &p.editor, p.spec
	annot := x.Widgets[0]
	if annot.Ref == (pdf.Ref{}) {
		return refusef(ErrNotSupported, op, "field %q has a widget that stands directly in it", x.Name)
	}
	w, err := e.dict(annot.Ref)
	if err != nil {
		return err
	}
	rect := rectOf(e.doc, w)
	if s.Stamp != nil {
		n, err := e.widgetPage(annot.Ref)
		if err != nil {
			return err
		}
		if s.Stamp.Page != 0 && n != 0 && s.Stamp.Page != n {
			return refusef(ErrUsage, op, "field %q is on page %d", x.Name, n)
		}
		if visible(s.Stamp.Rect) && s.Stamp.Rect != rect {
			if allowed.signed {
				return refuse(ErrMDPForbids, op, fmt.Errorf("moving field %q: %w", x.Name, errLater))
			}
			rect = s.Stamp.Rect
			w.Set("Rect", pdf.MakeNumbers(rect[:]...))
		}
		if !visible(rect) {
			return refusef(ErrUsage, op, "field %q is invisible: the stamp needs a rectangle", x.Name)
		}
	}
	if !x.Merged && w.Get("V") == nil {
		w.Set("V", p.sigRef) // inherited, but some readers look only here
	}
	if !w.Has("F") {
		w.Set("F", pdf.Int(flagPrint|flagLocked))
	}
	if s.Stamp == nil && (w.Has("AP") || !visible(rect)) {
		return nil
	}
	var b []byte
	if s.Stamp != nil {
		b = s.Stamp.Art
	}
	rotate, err := e.rotation(w, annot.Ref)
	if err != nil {
		return err
	}
	look, err := e.artLook(b, rect, rotate)
	if err != nil {
		return err
	}
	w.Set("AP", pdf.MakeDict(pdf.KV{Key: "N", Value: look}))
	return nil
}

// lockOf and seedOf read what may have been added in this revision.
func (e *editor) lockOf(field *pdf.Dict) (*Lock, error) {
	o, err := e.u.Resolve(field.Get("Lock"))
	if err != nil {
		return nil, err
	}
	d, ok := o.(*pdf.Dict)
	if !ok {
		return nil, nil
	}
	return lockOf(e.doc, d)
}

func (e *editor) seedOf(field *pdf.Dict) (*seed, error) {
	o, err := e.u.Resolve(field.Get("SV"))
	if err != nil {
		return nil, err
	}
	d, ok := o.(*pdf.Dict)
	if !ok {
		return nil, nil
	}
	return readSeed(e.doc, pdf.MakeDict(pdf.KV{Key: "SV", Value: d}))
}

// made describes the planned signature to seed values.
func (p *plan) made() made {
	return made{
		filter: handler, subFilter: p.spec.Profile.subFilter(), digest: p.template.Digest(),
		reason: p.spec.Info.Reason, certify: p.spec.Certify, timestamp: p.spec.Profile.timestamped(), chain: p.spec.Chain,
	}
}

// dictionary makes the signature dictionary.
func (p *plan) dictionary(lock *Lock) error {
	e, s := &p.editor, p.spec
	sig := pdf.MakeDict(
		pdf.KV{Key: "Type", Value: pdf.Name("Sig")},
		pdf.KV{Key: "Filter", Value: pdf.Name(handler)},
		pdf.KV{Key: "SubFilter", Value: pdf.Name(s.Profile.subFilter())},
		pdf.KV{Key: "M", Value: pdfDate(s.Info.Time)},
		pdf.KV{Key: "ByteRange", Value: &p.holes.byteRange},
		pdf.KV{Key: "Contents", Value: &p.holes.contents},
	)
	e.u.Set(p.sigRef, sig)
	for _, v := range []struct {
		key  pdf.Name
		text string
	}{{"Name", s.Info.Name}, {"Reason", s.Info.Reason}, {"Location", s.Info.Location}, {"ContactInfo", s.Info.Contact}} {
		if v.text != "" {
			sig.Set(v.key, pdf.Text(v.text))
		}
	}
	var refs []pdf.Object
	transform := func(method pdf.Name, params *pdf.Dict) *pdf.Dict {
		d := pdf.MakeDict(
			pdf.KV{Key: "Type", Value: pdf.Name("SigRef")},
			pdf.KV{Key: "TransformMethod", Value: method},
			pdf.KV{Key: "TransformParams", Value: params},
		)
		refs = append(refs, d)
		return d
	}
	if s.Certify != 0 {
		transform("DocMDP", pdf.MakeDict(
			pdf.KV{Key: "Type", Value: pdf.Name("TransformParams")},
			pdf.KV{Key: "P", Value: pdf.Int(s.Certify)},
			pdf.KV{Key: "V", Value: pdf.Name("1.2")},
		))
		c, err := e.dict(e.doc.Root())
		if err != nil {
			return err
		}
		perms, commit, err := e.inside(c, "Perms")
		if err != nil {
			return err
		}
		perms.Set("DocMDP", p.sigRef)
		commit()
	}
	if lock != nil {
		transform("FieldMDP", lock.transform("TransformParams")).Set("Data", e.doc.Root())
	}
	if len(refs) > 0 {
		sig.Set("Reference", pdf.MakeArray(refs...))
	}
	return nil
}

// layout reserves room and lays the revision out. It may run again with more.
func (p *plan) layout() (laidOut, error) {
	room := 0
	if p.spec.Profile.timestamped() {
		room = p.room
	}
	n, err := p.template.MaxSize(room)
	if err != nil {
		return laidOut{}, wrap(p.editor.op, err)
	}
	p.holes.reserve(n)
	l, err := p.holes.build(p.editor.u)
	return l, wrap(p.editor.op, err)
}
