package mutants_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mutant is one change of a package.
type mutant struct {
	id    int
	file  string
	line  int
	fn    string
	class string
	from  string
	to    string
}

// String names a mutant without its line, which moves.
func (m mutant) String() string {
	return fmt.Sprintf("%s %s %s: %s -> %s", m.file, m.fn, m.class, m.from, m.to)
}

// rewriter puts every mutant of some files into them at once: which one is on is
// said by the environment when the tests run, so all are compiled together.
type rewriter struct {
	fset    *token.FileSet
	info    types.Info
	pkg     *types.Package
	file    string
	fn      string
	mutants []mutant
	guards  int // conditions left alone, of corrupt stores
	was     map[ast.Node]original
}

// original is a node before it was rewritten.
type original struct {
	text string
	line int
}

// helpers are what rewritten code calls.
const helpers = `package %s

import (
	"os"
	"strconv"
)

var mutantOn, _ = strconv.Atoi(os.Getenv("COUNTERSIGN_MUTANT"))

func mutantFlip(id int, b bool) bool { return b != (mutantOn == id) }

func mutantPick[T any](id int, a, b T) T {
	if mutantOn == id {
		return b
	}
	return a
}

func mutantAnd(id int, a, b func() bool) bool {
	if mutantOn == id {
		return a() || b()
	}
	return a() && b()
}

func mutantOr(id int, a, b func() bool) bool {
	if mutantOn == id {
		return a() && b()
	}
	return a() || b()
}
`

// rewrite returns the rewritten files of a package by name, and what can be
// switched on in them.
func rewrite(t *testing.T, dir string, files []string) (map[string][]byte, []mutant, int) {
	t.Helper()
	r := &rewriter{fset: token.NewFileSet(), info: types.Info{Types: map[ast.Expr]types.TypeAndValue{}}, was: map[ast.Node]original{}}
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var parsed []*ast.File
	wanted := map[string]*ast.File{}
	for _, name := range all {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(r.fset, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		parsed = append(parsed, f)
		wanted[filepath.Base(name)] = f
	}
	conf := types.Config{Importer: importer.ForCompiler(r.fset, "source", nil)}
	r.pkg, err = conf.Check(dir, r.fset, parsed, &r.info)
	require.NoError(t, err)
	out := map[string][]byte{}
	for _, name := range files {
		f := wanted[name]
		require.NotNil(t, f, "no file %s", name)
		r.file = name
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				r.fn = fn.Name.Name
				r.walk(reflect.ValueOf(fn.Body))
			}
		}
		var b bytes.Buffer
		require.NoError(t, format.Node(&b, r.fset, f))
		out[name] = b.Bytes()
	}
	out["mutants.go"] = fmt.Appendf(nil, helpers, r.pkg.Name())
	return out, r.mutants, r.guards
}

var exprType = reflect.TypeFor[ast.Expr]()

// walk rewrites all expressions below a node, the innermost first.
func (r *rewriter) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		if n, ok := v.Interface().(ast.Node); ok {
			if _, seen := r.was[n]; !seen {
				r.was[n] = original{r.print(n), r.fset.Position(n.Pos()).Line}
			}
			if r.leave(n) {
				return
			}
		}
		r.walk(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.CanSet() {
				r.field(f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.field(v.Index(i))
		}
	}
}

func (r *rewriter) field(f reflect.Value) {
	old := f.Interface()
	r.walk(f)
	if f.Type() == exprType && !f.IsNil() {
		f.Set(reflect.ValueOf(r.expr(f.Interface().(ast.Expr))))
		return
	}
	switch s := old.(type) {
	case ast.Stmt:
		r.stmt(s)
	}
}

// leave reports nodes that are not rewritten: constants, types, and what guards
// against a store that contradicts itself.
func (r *rewriter) leave(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.Ident, *ast.BasicLit, *ast.FuncType, *ast.ArrayType, *ast.MapType:
		return true
	case *ast.GenDecl:
		return n.Tok != token.VAR
	case *ast.IfStmt:
		if strings.Contains(r.text(n.Body), "ErrCorrupt") {
			r.guards++
			return true
		}
	}
	return false
}

// text is a node as it was.
func (r *rewriter) text(n ast.Node) string {
	if o, ok := r.was[n]; ok {
		return o.text
	}
	return r.print(n)
}

func (r *rewriter) print(n ast.Node) string {
	var b bytes.Buffer
	_ = format.Node(&b, r.fset, n)
	return strings.Join(strings.Fields(b.String()), " ")
}

// add notes a mutant and returns its number.
func (r *rewriter) add(at ast.Node, class, from, to string) ast.Expr {
	m := mutant{id: len(r.mutants) + 1, file: r.file, line: r.was[at].line, fn: r.fn, class: class, from: from, to: to}
	r.mutants = append(r.mutants, m)
	return &ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(m.id)}
}

func call(fn string, args ...ast.Expr) ast.Expr {
	return &ast.CallExpr{Fun: ast.NewIdent(fn), Args: args}
}

func lazy(e ast.Expr) ast.Expr {
	return &ast.FuncLit{
		Type: &ast.FuncType{Params: &ast.FieldList{}, Results: &ast.FieldList{List: []*ast.Field{{Type: ast.NewIdent("bool")}}}},
		Body: &ast.BlockStmt{List: []ast.Stmt{&ast.ReturnStmt{Results: []ast.Expr{e}}}},
	}
}

func not(e ast.Expr) ast.Expr { return &ast.UnaryExpr{Op: token.NOT, X: &ast.ParenExpr{X: e}} }

var edges = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

// expr rewrites one expression whose parts are rewritten.
func (r *rewriter) expr(e ast.Expr) ast.Expr {
	was := r.info.Types[e]
	if was.Value != nil { // a constant
		return e
	}
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return r.binary(e, was.Type)
	case *ast.CallExpr:
		return r.called(e)
	case *ast.UnaryExpr:
		if e.Op == token.NOT && !r.done(e.X) {
			return r.flip(e)
		}
	}
	return e
}

func unparen(e ast.Expr) ast.Expr {
	for {
		p, ok := e.(*ast.ParenExpr)
		if !ok {
			return e
		}
		e = p.X
	}
}

// done reports whether a condition is rewritten already.
func (r *rewriter) done(e ast.Expr) bool { return strings.HasPrefix(r.print(unparen(e)), "mutant") }

func (r *rewriter) flip(e ast.Expr) ast.Expr {
	text := r.text(e)
	return call("mutantFlip", r.add(e, "flip", text, "not"), e)
}

func (r *rewriter) binary(e *ast.BinaryExpr, typ types.Type) ast.Expr {
	text := r.text(e)
	switch e.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		if strings.Contains(text, "err ") || strings.Contains(text, "nil") && strings.HasPrefix(text, "err") {
			return e
		}
		var out ast.Expr = e
		if edge, ok := edges[e.Op]; ok {
			moved := &ast.BinaryExpr{X: e.X, Op: edge, Y: e.Y}
			out = call("mutantPick", r.add(e, "edge", text, edge.String()), out, moved)
		}
		return call("mutantFlip", r.add(e, "flip", text, "not"), out)
	case token.LAND, token.LOR:
		if strings.Contains(text, "err == nil") || strings.Contains(text, "err != nil") {
			return e // what failed below fails above
		}
		e.X, e.Y = r.condition(e.X), r.condition(e.Y)
		fn, to := "mutantAnd", "||"
		if e.Op == token.LOR {
			fn, to = "mutantOr", "&&"
		}
		return call(fn, r.add(e, "join", text, to), lazy(e.X), lazy(e.Y))
	case token.ADD, token.SUB:
		if b, ok := typ.Underlying().(*types.Basic); ok && b.Info()&types.IsInteger != 0 {
			op := token.SUB
			if e.Op == token.SUB {
				op = token.ADD
			}
			return call("mutantPick", r.add(e, "sum", text, op.String()), e, &ast.BinaryExpr{X: e.X, Op: op, Y: &ast.ParenExpr{X: e.Y}})
		}
	}
	return e
}

// called rewrites comparisons that are calls: of instants, and with a sign.
func (r *rewriter) called(e *ast.CallExpr) ast.Expr {
	sel, ok := e.Fun.(*ast.SelectorExpr)
	if !ok {
		for i, a := range e.Args {
			e.Args[i] = r.rounding(a)
		}
		if id, ok := e.Fun.(*ast.Ident); ok && (id.Name == "min" || id.Name == "max") && len(e.Args) == 2 {
			other := map[string]string{"min": "max", "max": "min"}[id.Name]
			return call("mutantPick", r.add(e, "edge", r.text(e), other), e, call(other, e.Args...))
		}
		return e
	}
	text := r.text(e)
	for i, a := range e.Args {
		e.Args[i] = r.rounding(a)
	}
	switch sel.Sel.Name {
	case "Before", "After":
		if b, ok := r.info.Types[e].Type.(*types.Basic); !ok || b.Kind() != types.Bool {
			return e // a method of another meaning
		}
		other := "After"
		if sel.Sel.Name == "After" {
			other = "Before"
		}
		moved := not(&ast.CallExpr{Fun: &ast.SelectorExpr{X: sel.X, Sel: ast.NewIdent(other)}, Args: e.Args})
		edge := call("mutantPick", r.add(e, "edge", text, "or at the instant"), e, moved)
		return call("mutantFlip", r.add(e, "flip", text, "not"), edge)
	case "Equal", "IsZero", "Contains", "ContainsFunc":
		return call("mutantFlip", r.add(e, "flip", text, "not"), e)
	case "Compare":
		return call("mutantPick", r.add(e, "flip", text, "reversed"), e, &ast.UnaryExpr{Op: token.SUB, X: e})
	}
	return e
}

// rounding turns a rounding.
func (r *rewriter) rounding(e ast.Expr) ast.Expr {
	id, ok := e.(*ast.Ident)
	if !ok {
		return e
	}
	to := map[string][]string{"HalfUp": {"Down", "Up"}, "Up": {"Down"}, "Down": {"Up"}}[id.Name]
	var out ast.Expr = e
	for _, other := range to {
		out = call("mutantPick", r.add(e, "rounding", id.Name, other), out, ast.NewIdent(other))
	}
	return out
}

// condition flips what is no comparison.
func (r *rewriter) condition(e ast.Expr) ast.Expr {
	switch unparen(e).(type) {
	case *ast.Ident, *ast.SelectorExpr:
		return r.flip(e)
	case *ast.CallExpr:
		if !r.done(e) {
			return r.flip(e)
		}
	}
	return e
}

// stmt rewrites conditions of statements, sums that are assigned, and the cases
// of a switch.
func (r *rewriter) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.IfStmt:
		if text := r.text(s.Cond); !strings.HasPrefix(text, "err ") && !strings.Contains(r.text(s.Body), "ErrCorrupt") {
			s.Cond = r.condition(s.Cond)
		}
	case *ast.SwitchStmt:
		for _, c := range s.Body.List {
			clause := c.(*ast.CaseClause)
			for i, e := range clause.List {
				switch {
				case s.Tag == nil:
					if !strings.HasPrefix(r.text(e), "err ") {
						clause.List[i] = r.condition(e)
					}
				case r.info.Types[e].Value != nil:
					typ := r.info.Types[s.Tag].Type
					if b, ok := typ.Underlying().(*types.Basic); !ok || b.Info()&types.IsString == 0 {
						continue
					}
					pick := "mutantPick[" + types.TypeString(typ, func(p *types.Package) string {
						if p == r.pkg {
							return ""
						}
						return p.Name()
					}) + "]"
					clause.List[i] = call(pick, r.add(e, "case", r.text(e), "never"), e, &ast.BasicLit{Kind: token.STRING, Value: `"\x00"`})
				}
			}
		}
	case *ast.AssignStmt:
		if (s.Tok == token.ADD_ASSIGN || s.Tok == token.SUB_ASSIGN) && len(s.Rhs) == 1 {
			if b, ok := r.info.Types[s.Lhs[0]].Type.Underlying().(*types.Basic); ok && b.Info()&types.IsInteger != 0 && b.Info()&types.IsUnsigned == 0 {
				s.Rhs[0] = call("mutantPick", r.add(s, "sum", r.text(s), "the other way"), s.Rhs[0], &ast.UnaryExpr{Op: token.SUB, X: &ast.ParenExpr{X: s.Rhs[0]}})
			}
		}
	}
}

// write puts rewritten files beside and returns an overlay that has them.
func write(t *testing.T, dir string, files map[string][]byte) string {
	t.Helper()
	tmp := t.TempDir()
	replace := ""
	for name, data := range files {
		path := filepath.Join(tmp, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		replace += fmt.Sprintf("%q: %q,", filepath.Join(dir, name), path)
	}
	overlay := filepath.Join(tmp, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, []byte(`{"Replace": {`+strings.TrimSuffix(replace, ",")+`}}`), 0o600))
	return overlay
}
