package pades_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// facts are what qpdf says of a document that a signature must not change.
type facts struct {
	Pages    []any // object, contents, images, label, outlines that lead there
	Outlines any
	NoForm   bool  // qpdf ends with an error on some forms
	Fields   []any // all qpdf knows of each, signature fields left out
	Names    []string
	Info     any // of the document, its values
	Metadata string
	Catalog  map[string]any // keys that signing has no business with
}

// structure reads the facts with qpdf; ok is false if it cannot read the file.
func structure(t testing.TB, path, password string) (f facts, ok bool) {
	t.Helper()
	read := func(into any, args ...string) bool {
		args = append([]string{"--no-warn", "--json=1", "--password=" + password}, args...)
		out, code := tool(t, "qpdf", append(args, path)...)
		if code == 2 {
			return false
		}
		require.NoError(t, json.Unmarshal([]byte(out), into), "%s", path)
		return true
	}
	var top struct {
		Pages    []any
		Outlines any
		Acroform struct{ Fields []map[string]any }
		Objects  struct{ Trailer map[string]any }
	}
	if !read(&top, "--json-key=pages", "--json-key=outlines", "--json-key=objects", "--json-object=trailer") {
		return f, false
	}
	f.NoForm = !read(&top, "--json-key=acroform")
	f.Pages, f.Outlines = top.Pages, top.Outlines
	for _, x := range top.Acroform.Fields {
		if x["fieldtype"] != "/Sig" {
			f.Fields = append(f.Fields, x)
		}
	}
	object := func(ref any) any {
		name, _ := ref.(string)
		n, ok := cutRef(name)
		if !ok {
			return ref
		}
		var one struct{ Objects map[string]any }
		require.True(t, read(&one, "--json-key=objects", "--json-object="+n))
		return one.Objects[name]
	}
	f.Info = object(top.Objects.Trailer["/Info"])
	catalog, _ := object(top.Objects.Trailer["/Root"]).(map[string]any)
	f.Catalog = maps.Clone(catalog)
	for _, k := range []string{"/AcroForm", "/Perms", "/Extensions", "/Version"} {
		delete(f.Catalog, k)
	}
	f.Names = slices.Sorted(maps.Keys(f.Catalog))
	if name, _ := catalog["/Metadata"].(string); name != "" {
		if n, ok := cutRef(name); ok {
			f.Metadata, _ = tool(t, "qpdf", "--no-warn", "--password="+password, "--show-object="+n, "--filtered-stream-data", path)
		}
	}
	return f, true
}

// cutRef makes "7 0 R" "7,0", as qpdf's options want it.
func cutRef(s string) (string, bool) {
	var n, g int
	var r string
	if _, err := fmt.Sscan(s, &n, &g, &r); err != nil || r != "R" {
		return "", false
	}
	return fmt.Sprintf("%d,%d", n, g), true
}
