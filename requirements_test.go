package countersign_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRequirementsAreListed: every clause and decision that the code cites is in
// REQUIREMENTS.md, and no other is.
func TestRequirementsAreListed(t *testing.T) {
	id := regexp.MustCompile(`\b[HTPSD]\d\d\b`)
	ids := func(text []byte, into map[string]bool) {
		for _, m := range id.FindAllString(strings.ReplaceAll(string(text), "_", " "), -1) {
			into[m] = true
		}
	}
	listed, cited := map[string]bool{}, map[string]bool{}
	text, err := os.ReadFile("REQUIREMENTS.md")
	require.NoError(t, err)
	for _, line := range regexp.MustCompile(`(?m)^(\|[HTPS]\d\d[^|]*\||- \*\*D\d\d)`).FindAll(text, -1) {
		ids(line, listed)
	}
	err = filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(p) != ".go" {
			return err
		}
		text, err := os.ReadFile(p)
		ids(text, cited)
		return err
	})
	require.NoError(t, err)
	for i := range cited {
		assert.True(t, listed[i], "%s is cited and not listed", i)
	}
	for i := range listed {
		assert.True(t, cited[i], "%s is listed and cited nowhere", i)
	}
}
