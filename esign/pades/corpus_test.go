package pades_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
	"github.com/countersign/countersign/internal/pdf"
)

// tally counts outcomes of a run over the corpus.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

func (c *tally) print(t *testing.T) {
	t.Helper()
	keys := make([]string, 0, len(c.n))
	for k := range c.n {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		t.Logf("%5d  %s", c.n[k], k)
	}
}

// each runs f on every file of a category; TestCorpusCost holds all of them to
// their time and memory.
func each(t *testing.T, category string, f func(t *testing.T, e manifestEntry, b []byte)) {
	dir := corpus(t)
	t.Run("files", func(t *testing.T) {
		for _, e := range manifest(t, category) {
			t.Run(filepath.Base(e.Path), func(t *testing.T) {
				t.Parallel()
				b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(e.Path)))
				require.NoError(t, err)
				f(t, e, b)
			})
		}
	})
}

// Every sound PDF is signed, stays clean in qpdf, verifies here and in openssl,
// and keeps pages, outlines and form.
func TestCorpusPlain(t *testing.T) {
	t.Parallel()
	need(t, "qpdf", "openssl")
	s := newSigner(t, "ecdsa")
	var count tally
	var refused, signed atomic.Int64
	each(t, "plain", func(t *testing.T, e manifestEntry, b []byte) {
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), &out, s.spec(), s.key, nil)
		if err != nil {
			require.NotEmpty(t, pades.CodeOf(err), "%v", err)
			require.Zero(t, out.Len(), "a refusal writes nothing")
			require.NotEqual(t, "MUST_SIGN", e.Expected, "%v", err)
			count.add(e.Expected + " refused " + string(pades.CodeOf(err)))
			refused.Add(1)
			return
		}
		count.add(e.Expected + " signed")
		signed.Add(1)
		if _, err := pdf.Open(bytes.NewReader(b), int64(len(b)), nil); err != nil {
			count.add("  of which damaged, and mended by the revision")
		}
		_, err = pdf.Open(bytes.NewReader(out.Bytes()), int64(out.Len()), nil)
		require.NoError(t, err, "what we write needs no repair")
		path := save(t, "signed.pdf", out.Bytes())
		if e.Expected == "MUST_SIGN" {
			qpdfClean(t, path, e.Password)
		} else {
			_, before := tool(t, "qpdf", "--check", save(t, "plain.pdf", b))
			said, after := tool(t, "qpdf", "--check", path)
			assert.LessOrEqual(t, after, max(before, 0), said)
		}
		r := verify(t, out.Bytes(), s)
		require.NotEmpty(t, r.Signatures)
		last := r.Signatures[len(r.Signatures)-1]
		assert.Equal(t, pades.Passed, last.Verdict, "%+v", last)
		assert.Equal(t, pades.WholeDocument, last.Coverage)
		parts := extract(t, out.Bytes())
		require.NotEmpty(t, parts)
		opensslCMS(t, parts[len(parts)-1], s.ca.Roots()[0], true)
		readElsewhere(t, out.Bytes(), s, s.spec())
		before, ok := structure(t, save(t, "plain.pdf", b), e.Password)
		require.True(t, ok)
		after, ok := structure(t, path, e.Password)
		require.True(t, ok)
		if before.NoForm {
			count.add("  of which qpdf cannot list the fields before signing")
			after.NoForm, after.Fields = true, nil
		}
		assert.Equal(t, before, after)
	})
	count.print(t)
	// qpdf opens every one of them, if with warnings.
	assert.Less(t, 50*refused.Load(), refused.Load()+signed.Load(), "2 %% of refusals")
}

// repaired signs a damaged file on request: the whole cross-reference section
// is written anew, so that the result is read without repair (R7).
func repaired(t *testing.T, b []byte, s signer) {
	t.Helper()
	spec := s.spec()
	spec.Open = &pades.OpenOptions{InsecureSignRepaired: true}
	res, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), nil, spec, s.key, nil)
	if err != nil { // there may be no page to sign, for all the repair
		require.NotEmpty(t, pades.CodeOf(err))
		require.NotErrorIs(t, err, pades.ErrRepaired)
		return
	}
	out := slices.Concat(b, res.Increment)
	r := verify(t, out, s)
	last := r.Signatures[len(r.Signatures)-1]
	assert.Equal(t, pades.Intact, last.Integrity, "%+v", r.Signatures)
}

// explained are the files of signed/ whose label we do not follow, and why.
var explained = map[string]string{
	"itext__SignatureUtilTest_commentsBytesAreCoveredTest01.pdf": "label is about coverage only; the digest is wrong (eight validators agree)",
	"itext__SignatureUtilTest_indirectBytesAreCoveredTest01.pdf": "label is about coverage only; Contents is no part of the dictionary (V2)",
	"mkl__itext7_signatureutil_issue_doc.pdf":                    "a byte 0xFF follows the CMS (V3)",
	"dss__DSS-2155.pdf":             "bytes follow the CMS (V3)",
	"dss__pades-enveloping-cms.pdf": "the CMS has content of its own (V4)",
	"dss__pades-ocsp-sign-cert.pdf": "a later revision has another catalog (§6)",
	"dss__Signature-P-FR_CS-5.pdf":  "a later revision removes entries of /VRI (V8)",
	"dss__pdf-with-empty-sig.pdf":   "the signature is empty: Contents is no CMS",
	"itext__DocumentRevisionsValidatorIntegrationTest_eolNotIncludedIntoByteRange.pdf": "the digest is wrong (eight validators agree)",
}

// sound is a file whose label is about something else than the file.
const sound = "pyhanko-gen__test_timestamp_wrong_type.pdf" // the error was to validate a plain signature as a timestamp

// later is a file whose newest timestamp was made after the last date we can
// assume for this test: what is valid before is so under -at only.
const later = "pyhanko-gen__test_pades_lta_happy_path_past_time_with_chain.pdf"

// Every signed file gets the verdict its source states.
func TestCorpusSigned(t *testing.T) {
	t.Parallel()
	roots, err := os.ReadFile(filepath.Join(corpus(t), "trust", "all-roots.pem"))
	require.NoError(t, err)
	anchors, err := pades.ParseCertificates(roots)
	require.NoError(t, err)
	var count tally
	each(t, "signed", func(t *testing.T, e manifestEntry, b []byte) {
		r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{
			Roots: anchors, Open: &pades.OpenOptions{Password: e.Password},
		})
		if err != nil {
			code := pades.CodeOf(err)
			require.Contains(t, []pades.Code{pades.ErrEncryptionUnsupported, pades.ErrPasswordRequired}, code, "%v", err)
			count.add(e.Expected + " unreadable " + string(code))
			return
		}
		count.add(e.Expected + " " + string(r.Verdict))
		why := explained[filepath.Base(e.Path)]
		if why != "" {
			assert.Equal(t, pades.Failed, r.Verdict, "explained, but no longer so: %s", why)
			count.add("explained")
			return
		}
		label, _, _ := strings.Cut(e.Expected, ":")
		if filepath.Base(e.Path) == sound {
			label = "VALID"
		}
		switch label {
		case "VALID", "VALID_CRYPTO", "VALID_UNTRUSTED", "VALID_PERMITTED_CHANGES", "CONSENSUS_VALID", "MAJORITY_VALID", "LEVEL", "ADES":
			require.NotEmpty(t, r.Signatures)
			assert.NotEqual(t, pades.Failed, r.Verdict, "%+v", r.Signatures)
			if _, level, ok := strings.Cut(e.Expected, "LEVEL:B"); ok {
				assert.Equal(t, "b-"+strings.ToLower(strings.Trim(level, "_")), string(r.Signatures[0].Profile))
			}
			switch {
			case e.Expected == "ADES:OK" && filepath.Base(e.Path) != later:
				assert.Equal(t, pades.Passed, r.Verdict, "%+v", r.Signatures)
			case e.Expected == "ADES:NO_POE": // its source looks at it when the authority's certificate has expired
				old, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{Roots: anchors, At: signAt.AddDate(10, 0, 0)})
				require.NoError(t, err)
				assert.Equal(t, pades.Indeterminate, old.Verdict)
				assert.Contains(t, old.Reasons, pades.ReasonOutOfBoundsNoPOE)
			}
			// The day after it was signed, and without asking for revocation data that is not
			// there, nothing remains but what the label does not speak of.
			at := time.Time{}
			for _, s := range r.Signatures {
				for _, when := range []*time.Time{s.SigningTime, s.Timestamp} {
					if when != nil && when.After(at) {
						at = *when
					}
				}
			}
			then, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{
				Roots: anchors, Open: &pades.OpenOptions{Password: e.Password}, At: at.AddDate(0, 0, 1), AllowUnknownRevocation: true,
			})
			require.NoError(t, err)
			count.add(label + " when signed " + string(then.Verdict))
			open := []pades.Code{
				pades.ReasonNoChain, pades.ReasonOutOfBoundsNoPOE, pades.ReasonNotYetValid, pades.ReasonTimestampOrder, // its root is not ours, or a timestamp is later
				pades.ReasonAlgorithmWeak, pades.ReasonAlgorithmUnsupported, pades.ErrRepaired,
			}
			if label == "VALID_PERMITTED_CHANGES" { // annotations, without a certification (V9)
				open = append(open, pades.ReasonChangedAfterSigning)
			}
			for _, code := range then.Reasons {
				assert.Contains(t, open, code, "%+v", then.Signatures)
			}
		case "INVALID", "CONSENSUS_INVALID", "INVALID_OR_INDETERMINATE", "PROFILE_ERROR_OR_INDETERMINATE":
			assert.NotEqual(t, pades.Passed, r.Verdict)
		case "SEED_VALUE_VIOLATION":
			assert.Contains(t, r.Reasons, pades.ErrSeedValue)
		case "NO_SIGNATURE":
			assert.Empty(t, r.Signatures)
			assert.Equal(t, []pades.Code{pades.ReasonNoSignature}, r.Reasons)
		case "CONSENSUS_VALID_WITH_LATER_CHANGES":
			assert.True(t, slices.ContainsFunc(r.Signatures, func(s pades.SignatureReport) bool {
				return s.Coverage == pades.EarlierRevision && s.Integrity == pades.Intact
			}), "%+v", r.Signatures)
		case "INDETERMINATE", "DISPUTED", "MIXED":
		default:
			t.Errorf("label %s has no rule", e.Expected)
		}
	})
	count.print(t)
}

// No attack file passes, and the reason is right.
func TestCorpusAttack(t *testing.T) {
	t.Parallel()
	roots, err := os.ReadFile(filepath.Join(corpus(t), "trust", "all-roots.pem"))
	require.NoError(t, err)
	anchors, err := pades.ParseCertificates(roots)
	require.NoError(t, err)
	var count tally
	each(t, "attack", func(t *testing.T, e manifestEntry, b []byte) {
		r, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &pades.VerifyOptions{Roots: anchors})
		if e.Expected == "NO_HANG" {
			count.add("NO_HANG")
			return
		}
		require.NoError(t, err)
		count.add(e.Expected + " " + string(r.Verdict))
		require.Equal(t, pades.Failed, r.Verdict, "%+v", r.Signatures)
		require.NotEmpty(t, r.Signatures)
		bad := func(s pades.SignatureReport) bool { return s.Verdict == pades.Failed }
		require.True(t, slices.ContainsFunc(r.Signatures, bad))
		for _, s := range r.Signatures {
			if s.Verdict != pades.Failed {
				continue
			}
			assert.NotEmpty(t, s.Reasons)
			switch e.Expected {
			case "MUST_NOT_BE_VALID_UNCHANGED":
				grave := s.Changes == pades.ChangesOther || s.Integrity == pades.Broken ||
					slices.Contains(s.Reasons, pades.ReasonMDPViolation) || slices.Contains(s.Reasons, pades.ErrCertifyNotFirst) ||
					slices.Contains(s.Reasons, pades.ReasonSignatureRemoved) || slices.Contains(s.Reasons, pades.ReasonDuplicateField) ||
					slices.Contains(s.Reasons, pades.ReasonFormatFailure)
				assert.True(t, grave, "%+v", s)
			case "MUST_NOT_COVER_WHOLE_DOCUMENT":
				assert.False(t, s.Integrity == pades.Intact && s.Coverage == pades.WholeDocument, "%+v", s)
			case "INVALID", "ERROR_OR_INVALID":
				assert.NotEqual(t, pades.Intact, s.Integrity, "%+v", s)
			}
		}
	})
	count.print(t)
}

// knownPasswords are what the sources of the corpus say about files that do not
// open without one.
var knownPasswords = []string{
	"usersecret", "ownersecret", "Hello", "World", "owner", "user", "password", "asdfasdf", "asdfzxcv", "foo", "bar", "view",
	"master", "openpassword", "openpw", "u", "o", "abc", "ELXRTQWS", "testpassword", "userpassword", "ownerpassword",
}

// Encrypted files with known passwords are signed, still open with them, and
// verify.
func TestCorpusEncrypted(t *testing.T) {
	t.Parallel()
	need(t, "qpdf")
	s := newSigner(t, "ecdsa")
	var count tally
	each(t, "encrypted", func(t *testing.T, e manifestEntry, b []byte) {
		open := &pades.OpenOptions{Password: e.Password}
		spec := s.spec()
		spec.Open = open
		spec.Info = pades.Info{Name: "张三", Reason: "agreed"}
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), &out, spec, s.key, nil)
		for _, open.Password = range knownPasswords {
			if !errors.Is(err, pades.ErrPasswordRequired) {
				break
			}
			e.Password = open.Password
			_, err = pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), &out, spec, s.key, nil)
		}
		open.Password = e.Password
		if err != nil {
			require.NotEmpty(t, pades.CodeOf(err))
			require.Zero(t, out.Len())
			count.add(e.Expected + " refused " + string(pades.CodeOf(err)))
			if strings.HasPrefix(e.Expected, "PASSWORD:") {
				_, before := tool(t, "qpdf", "--password="+e.Password, "--check", save(t, "plain.pdf", b))
				assert.NotZero(t, before, "qpdf opens it without complaint, we do not: %v", err)
			}
			return
		}
		count.add(e.Expected + " signed")
		_, before := tool(t, "qpdf", "--password="+e.Password, "--check", save(t, "plain.pdf", b))
		said, after := tool(t, "qpdf", "--password="+e.Password, "--check", save(t, "signed.pdf", out.Bytes()))
		assert.LessOrEqual(t, after, before, said)
		r, err := pades.Verify(t.Context(), bytes.NewReader(out.Bytes()), int64(out.Len()), &pades.VerifyOptions{Roots: s.ca.Roots(), Open: open})
		require.NoError(t, err)
		last := r.Signatures[len(r.Signatures)-1]
		assert.Equal(t, pades.Passed, last.Verdict, "%+v", last)
		parts := extract(t, out.Bytes())
		opensslCMS(t, parts[len(parts)-1], s.ca.Roots()[0], true)
	})
	count.print(t)
}

// Damaged files end with a code, in time, whatever is asked of them.
func TestCorpusMalformed(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "ecdsa")
	var count tally
	each(t, "malformed", func(t *testing.T, e manifestEntry, b []byte) {
		r := bytes.NewReader(b)
		var out bytes.Buffer
		_, err := pades.Sign(t.Context(), r, r.Size(), &out, s.spec(), s.key, nil)
		if err != nil {
			require.NotEmpty(t, pades.CodeOf(err), "%v", err)
			require.Zero(t, out.Len())
			count.add(e.Expected + " sign refused " + string(pades.CodeOf(err)))
			if errors.Is(err, pades.ErrRepaired) {
				repaired(t, b, s)
			}
		} else {
			count.add(e.Expected + " signed")
			signed := verify(t, out.Bytes(), s)
			require.NotEmpty(t, signed.Signatures)
		}
		if report, err := pades.Verify(t.Context(), r, r.Size(), nil); err != nil {
			require.NotEmpty(t, pades.CodeOf(err))
			count.add(e.Expected + " verify unreadable " + string(pades.CodeOf(err)))
		} else {
			require.NotEqual(t, pades.Passed, report.Verdict)
			count.add(e.Expected + " verify " + string(report.Verdict))
		}
		for _, err := range []error{
			discard(pades.Fields(t.Context(), r, r.Size(), nil)),
			discard(pades.Pages(t.Context(), r, r.Size(), nil)),
		} {
			if err != nil {
				require.NotEmpty(t, pades.CodeOf(err))
			}
		}
	})
	count.print(t)
}

func discard[T any](_ T, err error) error { return err }

// A third party's signature is never broken by ours: a countersignature leaves
// every verdict as it was, or is refused.
func TestCorpusCountersign(t *testing.T) {
	t.Parallel()
	roots, err := os.ReadFile(filepath.Join(corpus(t), "trust", "all-roots.pem"))
	require.NoError(t, err)
	anchors, err := pades.ParseCertificates(roots)
	require.NoError(t, err)
	s := newSigner(t, "ecdsa")
	anchors = append(anchors, s.ca.Roots()...)
	var count tally
	each(t, "signed", func(t *testing.T, e manifestEntry, b []byte) {
		o := &pades.VerifyOptions{Roots: anchors, Open: &pades.OpenOptions{Password: e.Password}}
		before, err := pades.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), o)
		if err != nil {
			return
		}
		spec := s.spec()
		spec.Open = o.Open
		res, err := pades.Sign(t.Context(), bytes.NewReader(b), int64(len(b)), nil, spec, s.key, nil)
		if err != nil {
			count.add("refused " + string(pades.CodeOf(err)))
			return
		}
		out := slices.Concat(b, res.Increment)
		after, err := pades.Verify(t.Context(), bytes.NewReader(out), res.Size, o)
		require.NoError(t, err)
		require.Len(t, after.Signatures, len(before.Signatures)+1)
		for _, was := range before.Signatures {
			i := slices.IndexFunc(after.Signatures, func(s pades.SignatureReport) bool {
				return s.Field == was.Field && slices.Equal(s.ByteRange, was.ByteRange)
			})
			require.GreaterOrEqual(t, i, 0, "%s is gone", was.Field)
			is := after.Signatures[i]
			assert.Equal(t, was.Integrity, is.Integrity)
			if strings.Contains(e.Path, "shadow__hide-and-replace") {
				was.Verdict = pades.Failed // what it hides could be shown from now on
			}
			assert.Equal(t, was.Verdict, is.Verdict, "was %+v\nis  %+v", was, is)
		}
		last := after.Signatures[len(after.Signatures)-1]
		assert.Equal(t, res.Field, last.Field)
		assert.Equal(t, pades.Passed, last.Verdict, "%+v", last)
		count.add("countersigned")
	})
	count.print(t)
}
