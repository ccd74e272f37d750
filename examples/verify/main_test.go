package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

// exec runs the program and returns code, stdout and stderr.
func exec(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// Exit codes and the one JSON object that is there whatever happens.
func TestNothingToJudge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "a.txt")
	require.NoError(t, os.WriteFile(text, []byte("hello"), 0o600))
	for name, c := range map[string]struct {
		args   []string
		stderr string
		json   bool
	}{
		"no input":           {nil, "verify: USAGE:", false},
		"unknown flag":       {[]string{"-x"}, "verify: USAGE:", false},
		"bad time":           {[]string{"-in", text, "-at", "today"}, "verify: USAGE:", false},
		"both kinds":         {[]string{"-in", text, "-bundle", text}, "verify: USAGE:", false},
		"no such file":       {[]string{"-in", filepath.Join(dir, "b"), "-json"}, "verify: UNREADABLE:", true},
		"no PDF":             {[]string{"-in", text, "-json"}, "verify: UNREADABLE:", true},
		"no bundle":          {[]string{"-bundle", text}, "verify: UNREADABLE:", false},
		"no such bundle":     {[]string{"-bundle", filepath.Join(dir, "b")}, "verify: UNREADABLE:", false},
		"no such trust file": {[]string{"-bundle", text, "-keys", filepath.Join(dir, "k")}, "verify: UNREADABLE:", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := exec(t, c.args...)
			assert.Equal(t, 3, code)
			assert.Contains(t, errs, c.stderr)
			if !c.json {
				assert.Empty(t, out)
				return
			}
			var j struct {
				Verdict    string
				Reasons    []string
				Signatures []any
			}
			require.NoError(t, json.Unmarshal([]byte(out), &j))
			assert.Equal(t, "INDETERMINATE", j.Verdict)
			assert.Contains(t, j.Reasons, "UNREADABLE")
			assert.NotNil(t, j.Signatures)
			assert.Empty(t, j.Signatures)
		})
	}
}

// What a document says begins no line of its own.
func TestOneLineEach(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	summary(&out, "a.pdf", &pades.Report{Verdict: pades.Failed, Signatures: []pades.SignatureReport{{
		Field: "x\nb.pdf: PASSED", Signer: "\x1b[2J\u202ecod", Warnings: []string{"a\r\nb"},
	}}})
	assert.NotContains(t, out.String(), "\nb.pdf")
	assert.NotContains(t, out.String(), "\x1b")
	assert.NotContains(t, out.String(), "\u202e")
	assert.NotContains(t, out.String(), "\r")
	_, _, errs := exec(t, "-in", "a\nverify: PASSED")
	assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
}
