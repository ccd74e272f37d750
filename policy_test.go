package countersign_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/countersign/countersign"

// policy says what each package may import beyond the standard library. A
// name without a dot is a package of this module; "internal" stands for
// every package below it, which all may import. It is data: change it in a
// commit of its own, never to make a build pass.
var policy = map[string][]string{
	"internal":                    {"golang.org/x/crypto"},
	"internal/cms":                {"internal", "golang.org/x/crypto", "github.com/emmansun/gmsm"},
	"internal/pdftest":            {"testing"},
	"storage":                     {},
	"storage/boltstore":           {"storage", "go.etcd.io/bbolt"},
	"storage/sqlstore":            {"storage"},
	"storage/observe":             {"storage"},
	"storage/storagetest":         {"storage", "testing"},
	"privacy":                     {"storage"},
	"quota":                       {"storage"},
	"membership":                  {"storage", "privacy", "quota"},
	"evidence":                    {"storage", "privacy", "golang.org/x/mod"},
	"sms":                         {"storage", "privacy", "quota"},
	"sms/httpgw":                  {"sms"},
	"sms/aliyun":                  {"sms"},
	"sms/tencent":                 {"sms"},
	"sms/smstest":                 {"sms", "privacy", "storage", "quota", "testing"},
	"esign/pades":                 {"github.com/emmansun/gmsm"},
	"esign/seal":                  {"golang.org/x/image"},
	"esign/identity":              {"privacy"},
	"esign/identity/devca":        {"esign/identity"},
	"esign/identity/identitytest": {"esign/identity", "privacy", "testing"},
	"esign": {"storage", "privacy", "quota", "membership", "evidence", "sms",
		"esign/pades", "esign/seal", "esign/identity"},
	"examples": {"*"},
	".":        {},
}

// never names imports that no production code has, and why.
var never = map[string]string{
	"testing":                           "only packages named *test may link it into a user's binary",
	"github.com/stretchr/testify":       "a test library",
	"pgregory.net/rapid":                "a test library",
	"github.com/anishathalye/porcupine": "a test library",
	"go.mozilla.org/pkcs7":              "two parsers in production can disagree; it is the tests' independent reader",
}

func TestImportPolicy(t *testing.T) {
	for _, v := range checkPolicy(t, ".") {
		t.Error(v)
	}
}

// TestImportPolicyCatchesPlants proves that the check can fail: each planted
// import must be reported.
func TestImportPolicyCatchesPlants(t *testing.T) {
	plants := map[string]string{
		"quota":        module + "/esign",
		"evidence":     module + "/esign/pades",
		"sms":          module + "/membership",
		"esign/pades":  module + "/storage",
		"storage":      "go.etcd.io/bbolt",
		"internal/pdf": module + "/storage",
		"membership":   "testing",
		"esign":        "github.com/stretchr/testify/assert",
		"privacy":      "go.mozilla.org/pkcs7",
		"evidence/new": module + "/storage",
	}
	for dir, imp := range plants {
		root := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		src := "package x\n\nimport _ " + strconv.Quote(imp) + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, "x.go"), []byte(src), 0o644))
		assert.NotEmpty(t, checkPolicy(t, root), "%s importing %s went unnoticed", dir, imp)
	}
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "evidence"), 0o755))
	src := "package evidence\n\nimport \"golang.org/x/mod/sumdb/note\"\n\nfunc Open() note.Verifier { return nil }\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "evidence", "x.go"), []byte(src), 0o644))
	assert.NotEmpty(t, checkPolicy(t, root), "an exported third-party type went unnoticed")
}

// TestExportedNamesAreDocumented: every exported name has a comment, and the
// comment of a function or type starts with its name (conventions rule 19).
func TestExportedNamesAreDocumented(t *testing.T) {
	walkPackages(t, ".", func(dir string, fset *token.FileSet, f *ast.File) {
		if strings.HasPrefix(dir, "examples") || strings.Contains(dir, "/gen") {
			return
		}
		at := func(n ast.Node) string { return fset.Position(n.Pos()).String() }
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && exportedReceiver(d) && !startsWith(d.Doc, d.Name.Name) {
					t.Errorf("%s: func %s has no comment that starts with its name", at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						if s.Name.IsExported() && !startsWith(s.Doc, s.Name.Name) && !startsWith(d.Doc, s.Name.Name) {
							t.Errorf("%s: type %s has no comment that starts with its name", at(s), s.Name.Name)
						}
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
								t.Errorf("%s: %s has no comment", at(n), n.Name)
							}
						}
					}
				}
			}
		}
	})
}

// TestEveryPackageHasADoc: each package outside internal and examples has a
// doc.go of 30 to 150 lines (conventions §4); small ones may be shorter.
func TestEveryPackageHasADoc(t *testing.T) {
	seen := map[string]bool{}
	walkPackages(t, ".", func(dir string, _ *token.FileSet, f *ast.File) {
		seen[dir] = seen[dir] || f.Doc != nil
	})
	for dir, documented := range seen {
		assert.True(t, documented, "package in %s has no package comment", dir)
	}
}

func checkPolicy(t *testing.T, root string) (violations []string) {
	t.Helper()
	report := func(parts ...string) { violations = append(violations, strings.Join(parts, " ")) }
	walkPackages(t, root, func(dir string, fset *token.FileSet, f *ast.File) {
		allowed, known := allowedFor(dir)
		if !known {
			report(dir, "is not in the import policy")
			return
		}
		third := map[string]string{} // local name -> path
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			own, isOwn := strings.CutPrefix(imp, module+"/")
			if !isOwn && strings.Contains(strings.Split(imp, "/")[0], ".") {
				name := path.Base(imp)
				if spec.Name != nil {
					name = spec.Name.Name
				}
				third[name] = imp
			}
			if why, banned := bannedImport(imp); banned && !contains(allowed, imp) && !contains(allowed, "*") {
				report(dir, "imports", imp+":", why)
				continue
			}
			switch {
			case contains(allowed, "*"):
			case isOwn:
				if !strings.HasPrefix(own, "internal/") && !contains(allowed, own) {
					report(dir, "imports", own, "against the policy")
				}
			case third[path.Base(imp)] == imp || spec.Name != nil && third[spec.Name.Name] == imp:
				if !underAny(imp, allowed) {
					report(dir, "imports", imp, "against the policy")
				}
			}
		}
		if !strings.HasPrefix(dir, "internal") && !strings.HasPrefix(dir, "examples") {
			for _, leak := range thirdPartyInExports(f, third) {
				report(dir, "exports a third-party type:", leak)
			}
		}
	})
	sort.Strings(violations)
	return violations
}

// allowedFor gives the policy row of a folder: its own, or that of the
// nearest parent for internal and examples.
func allowedFor(dir string) ([]string, bool) {
	if row, ok := policy[dir]; ok {
		return row, true
	}
	for _, tree := range []string{"internal", "examples"} {
		if strings.HasPrefix(dir, tree+"/") {
			return policy[tree], true
		}
	}
	return nil, false
}

func bannedImport(imp string) (string, bool) {
	for b, why := range never {
		if imp == b || strings.HasPrefix(imp, b+"/") {
			return why, true
		}
	}
	return "", false
}

func underAny(imp string, allowed []string) bool {
	for _, a := range allowed {
		if imp == a || strings.HasPrefix(imp, a+"/") {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// thirdPartyInExports lists selectors of third-party packages that occur in
// exported declarations: signatures, fields, variables.
func thirdPartyInExports(f *ast.File, third map[string]string) (leaks []string) {
	find := func(n ast.Node) {
		if n == nil {
			return
		}
		ast.Inspect(n, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok && third[id.Name] != "" {
					leaks = append(leaks, third[id.Name]+"."+sel.Sel.Name)
				}
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				find(d.Type)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if !s.Name.IsExported() {
						continue
					}
					if st, ok := s.Type.(*ast.StructType); ok {
						for _, fl := range st.Fields.List {
							if len(fl.Names) == 0 || fl.Names[0].IsExported() {
								find(fl.Type)
							}
						}
					} else {
						find(s.Type)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() {
						find(s.Type)
					}
				}
			}
		}
	}
	return leaks
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func startsWith(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	text := doc.Text()
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	return strings.HasPrefix(text, name)
}

// walkPackages parses every production file below root: no tests, no
// testdata, no nested modules.
func walkPackages(t *testing.T, root string, visit func(dir string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if p != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && p != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(rel), fset, f)
		return nil
	})
	require.NoError(t, err)
}
