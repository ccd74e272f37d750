package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/qr"
	"github.com/countersign/countersign/internal/typeset"
	"github.com/countersign/countersign/privacy"
)

// The languages of a report.
const (
	LangChinese = "zh"
	LangEnglish = "en"
)

// reportMark begins the text of a report's QR code.
const reportMark = "countersign/report/v1"

// ReportOptions say how a report is made. nil is Chinese, under no trust.
type ReportOptions struct {
	// Lang is [LangChinese] or [LangEnglish]; empty is Chinese.
	Lang string
	// Verify is the trust under which the transcript is made; nil trusts
	// nobody, and the report says so.
	Verify *VerifyOptions
	// Number is that of the report, as a rule the id of its [Application];
	// empty leaves it out. At most [MaxID] bytes.
	Number string
	// Inside makes the report that is an entry of the bundle itself: no file can hold
	// its own digest, so it says "-" in its place.
	Inside bool
	// Kind is what was asked for; empty leaves it out.
	Kind ReportKind
	// Issuer names who issues the report; empty leaves it out. At most 200 bytes.
	Issuer string
}

// WriteReport writes the report on a bundle as a PDF for people (出证报告): parties
// with their data masked, documents and digests, the timeline with the hash of
// every event, windows of time, identity and intent, what [Verify] found, the
// scope of it all (T52 T55), the legal mapping, and how to verify without us. Its
// QR code holds four lines: countersign/report/v1, the log's origin, the
// SHA-256 of the bundle in hexadecimal, and size and root of the checkpoint
// ("0 -" without one), the text of a C2SP checkpoint.
//
// The report is a view: the same bundle under the same options gives the same
// bytes. It states what Verify found also where that is FAILED. It fails with
// [ErrUnreadable], or with [ErrDraft] for options that it cannot set.
func WriteReport(w io.Writer, bundle io.ReaderAt, size int64, o *ReportOptions) error {
	if o == nil {
		o = &ReportOptions{}
	}
	lang := o.Lang
	if lang == "" {
		lang = LangChinese
	}
	if lang != LangChinese && lang != LangEnglish || len(o.Number) > MaxID || len(o.Issuer) > 200 || o.Kind != "" && sayKinds[o.Kind].en == "" {
		return fmt.Errorf("%w: report options", ErrDraft)
	}
	v, err := judgeBundle(bundle, size, o.Verify)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(bundle, 0, size)); err != nil {
		return fmt.Errorf("evidence: read bundle: %w", err)
	}
	p := &paper{lang: lang, v: v, o: o, bundle: hex.EncodeToString(sum.Sum(nil))}
	if o.Inside {
		p.bundle = "-"
	}
	p.doc.Title, p.doc.Lang = sayTitle.in(lang), map[string]string{LangChinese: "zh-CN", LangEnglish: "en"}[lang]
	for _, section := range []func() error{p.front, p.parties, p.documents, p.timeline, p.windows, p.identity, p.transcript, p.scope, p.legal, p.howto} {
		if err := section(); err != nil {
			return err
		}
	}
	p.finish()
	_, err = w.Write(p.doc.Bytes())
	return err
}

// paper is a report being set.
type paper struct {
	lang   string
	v      *verifier
	o      *ReportOptions
	bundle string // SHA-256 in hexadecimal

	doc   typeset.Doc
	pages []*typeset.Page
	page  *typeset.Page
	y     float64 // base line of the last line set
}

func (p *paper) say(x phrase) string { return x.in(p.lang) }

// identity of the largest checkpoint of the bundle: size and root.
func (p *paper) checkpoint() (uint64, string) {
	if p.v.m == nil || p.v.m.claim.Size == 0 {
		return 0, "-"
	}
	size := p.v.m.claim.Size
	raw, err := p.v.c.read(checkpointPath(size), maxNote)
	if err != nil {
		return 0, "-"
	}
	cp, _, err := parseCheckpoint(raw)
	if err != nil || cp.Size != size {
		return 0, "-"
	}
	return size, base64.StdEncoding.EncodeToString(cp.Root)
}

func (p *paper) front() error {
	r := p.v.r
	p.newPage()
	size, root := p.checkpoint()
	code, err := qr.Encode(fmt.Appendf(nil, "%s\n%s\n%s\n%d %s\n", reportMark, r.Origin, p.bundle, size, root))
	if err != nil {
		return fmt.Errorf("evidence: report: %w", err)
	}
	p.y -= 20
	p.page.BoldText(left, p.y, 18, p.say(sayTitle))
	p.code(code, right-104, p.y-108, 104)
	p.y -= 26
	p.page.Fill(verdictColor[r.Verdict])
	p.page.BoldText(left, p.y, 11, string(r.Verdict))
	p.page.Fill(black)
	p.y -= 4
	width := right - left - 130
	p.text(left, width, 9, p.say(sayVerdict)+" — "+p.say(sayVerdicts[r.Verdict]))
	if r.FirstBad > 0 {
		p.text(left, width, 9, p.say(sayFirstBad)+": "+strconv.FormatUint(r.FirstBad, 10))
	}
	p.y = min(p.y-12, p.pageTop()-20-108-24)
	p.page.Text(right-104, p.pageTop()-20-108-10, 5.5, clip(p.say(sayQR), 5.5, 110))
	rows := [][]string{}
	row := func(k phrase, s string) {
		if s != "" {
			rows = append(rows, []string{p.say(k), s})
		}
	}
	row(sayNumber, p.o.Number)
	if p.o.Kind != "" {
		row(sayKind, p.say(sayKinds[p.o.Kind])+" ("+p.say(sayIssued)+")")
	}
	row(sayIssuer, p.o.Issuer)
	row(sayEnvelope, r.Env)
	row(sayTenant, r.Tenant)
	row(sayOrigin, r.Origin)
	row(sayClaim, p.claim())
	row(sayCheckpoint, fmt.Sprintf("%d %s", size, root))
	row(sayBundle, p.bundle)
	row(sayHost, p.environment())
	p.table([]float64{130, 365}, nil, rows)
	return nil
}

func (p *paper) claim() string {
	c := p.v.r.Claim
	if !c.Known {
		return p.say(sayNotProven)
	}
	s := fmt.Sprintf("1..%d", c.Last)
	if c.Kind == ClaimSealed {
		s += ", " + typeName(TypeSealed, p.lang) + " " + strconv.FormatUint(c.Seal, 10)
	} else {
		s += ", " + p.say(sayOpen)
	}
	return s + ", " + c.Docs + ", " + c.Head.String()
}

func (p *paper) environment() string {
	raw, err := p.v.c.read(pathEnvironment, 1<<20)
	if err != nil {
		return ""
	}
	o, err := canon.ParseObject(raw, 1<<20)
	if err != nil {
		return ""
	}
	r := reader{o: o}
	s := strings.Join([]string{r.text("sdk"), r.text("go"), r.text("os") + "/" + r.text("arch")}, ", ")
	return s + " · self-test " + strconv.FormatBool(r.flag("self_test"))
}

// parties lists aliases in the order in which events name them, with what is
// disclosed of them, masked.
func (p *paper) parties() error {
	p.heading(headParties)
	type person struct {
		fields map[privacy.Field]string
		seqs   []string
		erased bool
	}
	people := map[string]*person{}
	var order []string
	shown := p.v.disclosed()
	for i := range p.v.list {
		e := &p.v.list[i]
		if e.Type == TypeErased {
			if alias, ok := e.X["alias"].(string); ok && people[alias] != nil {
				people[alias].erased = true
			}
		}
		for j, c := range e.Personal {
			x := people[c.K]
			if x == nil {
				x = &person{fields: map[privacy.Field]string{}}
				people[c.K] = x
				order = append(order, c.K)
			}
			if s := strconv.FormatUint(e.Seq, 10); len(x.seqs) == 0 || x.seqs[len(x.seqs)-1] != s {
				x.seqs = append(x.seqs, s)
			}
			if clear, ok := shown[[2]uint64{e.Seq, uint64(j)}]; ok {
				x.fields[c.Field] = masked(c.Field, clear)
			} else if x.fields[c.Field] == "" {
				x.fields[c.Field] = ""
			}
		}
	}
	var rows [][]string
	for _, k := range order {
		x := people[k]
		var list []string
		for _, f := range slices.Sorted(maps.Keys(x.fields)) {
			value := x.fields[f]
			switch {
			case value != "":
			case x.erased:
				value = p.say(sayErased)
			default:
				value = p.say(sayUndisclose)
			}
			list = append(list, p.say(sayFields[string(f)])+": "+value)
		}
		rows = append(rows, []string{k[:min(len(k), 16)], strings.Join(list, "; "), strings.Join(x.seqs, " ")})
	}
	p.tableOrNone([]float64{110, 265, 120}, []phrase{colParty, colData, colSeen}, rows)
	return nil
}

// masked shows a disclosed value as it is shown everywhere.
func masked(f privacy.Field, clear string) string {
	var v privacy.Value
	var err error
	switch f {
	case privacy.FieldName:
		v, err = privacy.NewName(clear)
	case privacy.FieldPhone:
		v, err = privacy.NewPhone(clear)
	case privacy.FieldEmail:
		v, err = privacy.NewEmail(clear)
	case privacy.FieldIDNumber:
		v, err = privacy.NewIDNumber(clear)
	case privacy.FieldBankCard:
		v, err = privacy.NewBankCard(clear)
	case privacy.FieldIP:
		v, err = privacy.NewIP(clear)
	case privacy.FieldAddress:
		v, err = privacy.NewAddress(clear)
	default:
		return "***"
	}
	if err != nil {
		return "***"
	}
	return v.Masked()
}

func (p *paper) documents() error {
	p.heading(headDocuments)
	var rows [][]string
	for _, d := range finalDocs(p.v.list) {
		rows = append(rows, []string{fmt.Sprintf("%s (%d)", d.ID, d.Rev), strconv.FormatInt(d.After.Size, 10),
			d.After.SHA256.String() + "\n" + d.After.SM3.String(), strconv.FormatUint(d.seq, 10)})
	}
	p.tableOrNone([]float64{110, 60, 285, 40}, []phrase{colDocument, colSize, colDigests, colSeq}, rows)
	return nil
}

func (p *paper) timeline() error {
	p.heading(headTimeline)
	var rows [][]string
	for i := range p.v.list {
		e := &p.v.list[i]
		if e.Seq == 0 {
			rows = append(rows, []string{strconv.Itoa(i + 1), p.say(sayVerdicts[Failed]), "", "", hex.EncodeToString(hashOf(p.v.raws[i]))})
			continue
		}
		var docs []string
		for _, d := range e.Docs {
			docs = append(docs, fmt.Sprintf("%s (%d)", d.ID, d.Rev))
		}
		what := typeName(e.Type, p.lang)
		if p.lang != LangEnglish {
			what += "\n" + e.Type
		}
		if len(docs) > 0 {
			what += "\n" + strings.Join(docs, " ")
		}
		rows = append(rows, []string{strconv.FormatUint(e.Seq, 10), what, beijing(e.At) + "\n" + e.At.Format(timeForm),
			join(" / ", e.Actor.ID, e.Actor.Role, e.Actor.Account), hex.EncodeToString(e.Hash())})
	}
	p.tableOrNone([]float64{26, 118, 126, 90, 135}, []phrase{colSeq, colEvent, colTime, colActor, colHash}, rows)
	return nil
}

func (p *paper) windows() error {
	p.heading(headWindows)
	p.text(left, right-left, 8, p.say(sayWindows))
	p.y -= 4
	side := func(t time.Time) string {
		if t.IsZero() {
			return p.say(sayNotProven)
		}
		return beijing(t)
	}
	var rows [][]string
	for _, x := range p.v.r.Windows {
		eff := ""
		if e := &p.v.list[x.Seq-1]; !e.Eff.IsZero() {
			eff = beijing(e.Eff)
		}
		rows = append(rows, []string{strconv.FormatUint(x.Seq, 10), side(x.NotBefore), beijing(x.At), side(x.NotAfter), eff})
	}
	p.tableOrNone([]float64{27, 117, 117, 117, 117}, []phrase{colSeq, {"T0", "T0"}, colClaimed, {"T1", "T1"}, colEff}, rows)
	return nil
}

func (p *paper) identity() error {
	p.heading(headIdentity)
	var rows [][]string
	for i := range p.v.list {
		e := &p.v.list[i]
		for _, a := range e.Auth {
			end := ""
			if !a.NotAfter.IsZero() {
				end = beijing(a.NotAfter)
			}
			rows = append(rows, []string{strconv.FormatUint(e.Seq, 10), join(" / ", e.Actor.ID, e.Actor.Account), a.Level, join(" / ", a.Method, a.Provider),
				join("\n", hex.EncodeToString(a.Transaction), hex.EncodeToString(a.Cert), end)})
		}
	}
	if len(rows) == 0 {
		p.text(left, right-left, 8, p.say(sayIdentityNone))
		return nil
	}
	p.table([]float64{27, 84, 30, 84, 270}, []phrase{colSeq, colActor, colLevel, colMethod, colProof}, rows)
	return nil
}

func (p *paper) transcript() error {
	p.heading(headChecks)
	var rows [][]string
	for _, c := range p.v.r.Checks {
		where := c.Path
		if c.Seq > 0 {
			where = join(", ", "#"+strconv.FormatUint(c.Seq, 10), where)
		}
		rows = append(rows, []string{c.Code + " " + p.say(sayChecks[c.Code]), string(c.Verdict), join("\n", where, c.Detail)})
	}
	p.tableOrNone([]float64{215, 80, 200}, []phrase{colCheck, colResult, colWhere}, rows)
	return nil
}

func (p *paper) scope() error {
	p.heading(headScope)
	for _, s := range sayScope {
		p.text(left, right-left, 9, p.say(s))
		p.y -= 4
	}
	return nil
}

func (p *paper) legal() error {
	p.heading(headLegal)
	p.text(left, right-left, 8, p.say(legalNote))
	p.y -= 4
	var rows [][]string
	for _, r := range legalTable {
		rows = append(rows, []string{p.say(r.basis), p.say(r.answer), p.say(r.limit)})
	}
	p.table([]float64{190, 175, 130}, []phrase{colBasis, colAnswer, colLimit}, rows)
	return nil
}

func (p *paper) howto() error {
	p.heading(headHowto)
	for i, s := range sayHowto {
		if i == 0 && p.o.Inside {
			s = sayHowtoInside
		}
		p.text(left, right-left, 9, p.say(s))
		p.y -= 3
	}
	return nil
}

// beijing is an instant on the wall clock of the parties, its zone printed.
func beijing(t time.Time) string {
	return t.In(time.FixedZone("", 8*3600)).Format("2006-01-02 15:04:05.000 -07:00")
}

func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// disclosed gives the values that the bundle opens, by event and place in it.
// Only those that open their commitment count.
func (v *verifier) disclosed() map[[2]uint64]string {
	out := map[[2]uint64]string{}
	raw, err := v.c.read(pathDisclosures, maxDisclosures)
	if err != nil {
		return out
	}
	for line := range bytes.Lines(raw) {
		seq, i, op, err := v.opening(line)
		if err == nil {
			out[[2]uint64{seq, uint64(i)}] = op.Clear()
		}
	}
	return out
}
