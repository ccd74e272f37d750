package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const vectors = "../../evidence/testdata/vectors/bundles"

// T13 T15: the exit code is the verdict, and -at asks whether anchors still prove.
func TestBundle_T13_T15_ExitsAndAt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file    string
		args    []string
		code    int
		verdict string
	}{
		"anchored, at its own time":          {"open", nil, 0, "PASSED"},
		"while the certificate lasts":        {"open", []string{"-at", "2039-12-31T00:00:00Z"}, 0, "PASSED"},
		"the same in another zone":           {"open", []string{"-at", "2040-01-01T07:00:00+08:00"}, 0, "PASSED"},
		"after the certificate ended":        {"open", []string{"-at", "2040-01-02T00:00:00Z"}, 2, "INDETERMINATE"},
		"digests only stays open":            {"digests-only", nil, 2, "INDETERMINATE"},
		"an event changed":                   {"failed-chain", nil, 1, "FAILED"},
		"a document changed":                 {"failed-document", nil, 1, "FAILED"},
		"a document that is no PDF":          {"sealed", nil, 1, "FAILED"},
		"bytes behind the end":               {"failed-container", nil, 1, "FAILED"},
		"a signature of the manifest forged": {"failed-manifest-signature", nil, 1, "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-bundle", filepath.Join(vectors, c.file+".esev"), "-keys", filepath.Join(vectors, "trust.txt")}, c.args...)
			code, out, errs := exec(t, append(args, "-json")...)
			assert.Empty(t, errs)
			assert.Equal(t, c.code, code, out)
			var j map[string]any
			require.NoError(t, json.Unmarshal([]byte(out), &j))
			assert.Equal(t, c.verdict, j["verdict"])
			for k := range j {
				assert.Equal(t, strings.ToLower(k), k, "snake case")
			}
			assert.NotEmpty(t, j["checks"])
			code, text, _ := exec(t, args...)
			assert.Equal(t, c.code, code)
			assert.Contains(t, text, ": "+c.verdict+"\n")
		})
	}
}

// T13: an evidence record beside the bundle is judged with it.
func TestBundle_T13_Renewal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(vectors, "..", "manifest")
	for name, verdict := range map[string]string{"issued.er": "PASSED", "other.er": "FAILED"} {
		_, out, errs := exec(t, "-bundle", filepath.Join(dir, "issued.esev"), "-keys", filepath.Join(dir, "trust.txt"), "-renewal", filepath.Join(dir, name), "-json")
		assert.Empty(t, errs)
		assert.Contains(t, out, `{"code":"RENEWAL","verdict":"`+verdict+`","path":"manifest.json"`)
	}
	code, _, errs := exec(t, "-bundle", filepath.Join(dir, "issued.esev"), "-renewal", filepath.Join(dir, "none"))
	assert.Equal(t, 3, code)
	assert.Contains(t, errs, "UNREADABLE")
	code, _, _ = exec(t, "-in", "a.pdf", "-renewal", "b.er")
	assert.Equal(t, 3, code)
}
