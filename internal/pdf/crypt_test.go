package pdf_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/internal/pdf"
	"github.com/countersign/countersign/internal/pdftest"
)

// knownPasswords are user and owner passwords that the sources of the corpus
// publish. Files not named open with the empty one.
var knownPasswords = map[string][]string{
	"itext__PdfEncryptionTest_cmp_appended_encryptAes256Pdf2NotEncryptMetadata.pdf":    {"Hello", "World"},
	"itext__PdfEncryptionTest_cmp_appended_encryptAes256Pdf2NotEncryptMetadata02.pdf":  {"Hello", "World"},
	"itext__PdfEncryptionTest_cmp_appended_encryptWithPasswordAes128Pdf2.pdf":          {"Hello", "World"},
	"itext__PdfEncryptionTest_cmp_appended_encryptWithPasswordAes256NoCompression.pdf": {"Hello", "World"},
	"itext__PdfEncryptionTest_cmp_encryptAes256Pdf2NotEncryptMetadata02.pdf":           {"Hello", "World"},
	"itext__PdfEncryptionTest_cmp_encryptWithPasswordAes256.pdf":                       {"Hello", "World"},
	"openpdf__issue6010_1-pw_owner.pdf":                                                {"abc", "owner"},
	"openpdf__pr6531_2-pw_asdfasdf.pdf":                                                {"asdfasdf"},
	"opf__lorem-ipsum-openprintcopypw.pdf":                                             {"password"},
	"pdfbox__PasswordSample-128bit.pdf":                                                {"user", "owner"},
	"pdfbox__PasswordSample-256bit.pdf":                                                {"user", "owner"},
	"pdfjs__issue3371.pdf":                                                             {"ELXRTQWS"},
	"pdfpig__encrypted-password-is-password.pdf":                                       {"password"},
	"pyhanko__malformed-encrypt-dict1.pdf":                                             {"usersecret", "ownersecret"},
	"pyhanko__minimal-aes256-empty-encrypted-string.pdf":                               {"secret"},
	"pyhanko__minimal-aes256.pdf":                                                      {"usersecret", "ownersecret"},
	"pyhanko__minimal-rc4.pdf":                                                         {"usersecret", "ownersecret"},
	"pypdf__libreoffice-writer-password.pdf":                                           {"openpassword"},
	"pypdf__r6-both-passwords.pdf":                                                     {"foo", "bar"},
	"qpdf__4.pdf":                                                                      {"user", "owner"},
	"qpdf__enc-XI-R6_V5_U_view_O_master.pdf":                                           {"view", "master"},
	"qpdf__job-json-encrypt-40.pdf":                                                    {"u", "o"},
	// Not published: these must ask for a password. The last one is damaged and
	// only its repaired trailer is encrypted.
	"pdfjs__auth-event-ef-open.pdf":     nil,
	"qpdf__encrypted-40-bit-R3.pdf":     nil,
	"qpdf__nontrivial-crypt-filter.pdf": nil,
	"pdfjs__issue15893_reduced.pdf":     nil,
}

// unreadable files authenticate by a key that does not decrypt their streams;
// qpdf refuses them, mupdf reports damage.
var unreadable = map[string]bool{"pdfjs__issue19484_1.pdf": true, "pdfjs__issue19484_2.pdf": true}

// R5: every encrypted file opens with its passwords, all objects resolve, and an
// update made with each opens again, in qpdf too.
func TestR5CorpusEncrypted(t *testing.T) {
	files := corpus(t, "encrypted")
	pdftest.Need(t, "qpdf")
	dir := t.TempDir()
	counts := map[string]int{}
	for _, c := range files {
		base := filepath.Base(c.path)
		data, err := os.ReadFile(c.path)
		require.NoError(t, err)
		if c.expected == "PUBKEY_OR_UNKNOWN" {
			_, err := pdf.Open(bytes.NewReader(data), int64(len(data)), nil)
			assert.ErrorIs(t, err, pdf.ErrEncryption, base)
			counts["unsupported"]++
			continue
		}
		passwords, known := knownPasswords[base]
		if known {
			_, err := pdf.Open(bytes.NewReader(data), int64(len(data)), &pdf.Options{Password: "no such", Repair: true})
			if len(passwords) == 0 {
				assert.ErrorIs(t, err, pdf.ErrPassword, base)
				counts["password not published"]++
				continue
			}
		} else {
			passwords = []string{""}
		}
		for _, p := range passwords {
			d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), &pdf.Options{Password: p, Repair: true})
			if !assert.NoError(t, err, "%s %q", base, p) {
				continue
			}
			if _, _, err = walkAll(d); !unreadable[base] {
				assert.NoError(t, err, "%s %q", base, p)
			}
			if d.Repaired() {
				counts["repaired"]++
				continue
			}
			inc, err := update(d)
			require.NoError(t, err, base)
			assert.NotContains(t, string(inc), "added", base)
			before, _ := qpdfCheck(t, filepath.Join(dir, base), data, "--password="+p)
			all := append(data[:len(data):len(data)], inc...)
			after, out := qpdfCheck(t, filepath.Join(dir, base), all, "--password="+p)
			assert.LessOrEqual(t, rank(after), rank(before), "%s %q: %s", base, p, out)
			again, err := pdf.Open(bytes.NewReader(all), int64(len(all)), &pdf.Options{Password: p})
			require.NoError(t, err)
			cat, _, err := again.Catalog()
			require.NoError(t, err)
			a, _, err := again.LookupArray(cat, "CSTest")
			require.NoError(t, err)
			note, err := again.Resolve(a.At(0))
			require.NoError(t, err)
			text, _, err := again.LookupText(note.(*pdf.Dict), "Note")
			require.NoError(t, err)
			assert.Equal(t, "added (天津)", text)
			stream, err := again.Resolve(a.At(1))
			require.NoError(t, err)
			b, err := stream.(*pdf.Stream).Decode()
			require.NoError(t, err)
			assert.Equal(t, bytes.Repeat([]byte("stream "), 100), b)
			counts[map[bool]string{true: "updated, qpdf as before", false: "updated, qpdf worse"}[rank(after) <= rank(before)]]++
		}
	}
	t.Log(counts)
}
