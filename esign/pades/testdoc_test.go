package pades_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	mozilla "go.mozilla.org/pkcs7"

	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/esign/pades"
)

// testDoc is a document in the making: objects from number 1 on.
type testDoc struct {
	objects []string
	trailer string // keys beside /Size
}

// classic writes the document with a cross-reference table.
func (d testDoc) classic() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(d.objects))
	for i, o := range d.objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(d.objects)+1)
	for _, off := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", off)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n", len(d.objects)+1, d.trailer, start)
	return b.Bytes()
}

// streams writes it with object streams and a cross-reference stream with a
// PNG predictor.
func (d testDoc) streams() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	type entry struct {
		kind byte
		a    uint32
		c    uint16
	}
	n := len(d.objects)
	entries := make([]entry, n+1, n+n/100+8)
	entries[0] = entry{0, 0, 65535}
	// Object streams of 200, as writers make them; their numbers come last.
	const per = 200
	var head, body bytes.Buffer
	index, count := 0, 0
	flush := func() {
		if index == 0 {
			return
		}
		count++
		entries = append(entries[:n+count], entry{1, uint32(b.Len()), 0})
		data := deflate(append(head.Bytes(), body.Bytes()...))
		fmt.Fprintf(&b, "%d 0 obj\n<< /Type /ObjStm /N %d /First %d /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream\nendobj\n",
			n+count, index, head.Len(), len(data), data)
		index = 0
		head.Reset()
		body.Reset()
	}
	for i, o := range d.objects {
		if bytes.Contains([]byte(o), []byte("stream\n")) {
			entries[i+1] = entry{1, uint32(b.Len()), 0}
			fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
			continue
		}
		fmt.Fprintf(&head, "%d %d ", i+1, body.Len())
		body.WriteString(o + "\n")
		entries[i+1] = entry{2, uint32(n + count + 1), uint16(index)}
		if index++; index == per {
			flush()
		}
	}
	flush()
	n += count - 1
	start := b.Len()
	entries = append(entries, entry{1, uint32(start), 0})
	var rows bytes.Buffer
	prev := make([]byte, 7)
	for _, e := range entries {
		row := []byte{e.kind}
		row = binary.BigEndian.AppendUint32(row, e.a)
		row = binary.BigEndian.AppendUint16(row, e.c)
		rows.WriteByte(2) // PNG up
		for i := range row {
			rows.WriteByte(row[i] - prev[i])
		}
		prev = row
	}
	data := deflate(rows.Bytes())
	fmt.Fprintf(&b, "%d 0 obj\n<< /Type /XRef /Size %d /W [1 4 2] %s /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 7 >> /Length %d >>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n",
		n+2, n+3, d.trailer, len(data), data, start)
	return b.Bytes()
}

// hybridDoc writes the document with a table that names a stream, in which
// there is one more object.
func hybridDoc(d testDoc) []byte {
	// A table with a stream beside it that hides one more object.
	b := d.classic()
	all := startxrefPattern.FindAllSubmatch(b, -1)
	out := bytes.NewBuffer(b)
	extra := out.Len()
	out.WriteString("20 0 obj\n<< /Hidden true >>\nendobj\n")
	at := out.Len()
	row := []byte{1, byte(extra >> 24), byte(extra >> 16), byte(extra >> 8), byte(extra), 0, 0}
	fmt.Fprintf(out, "21 0 obj\n<< /Type /XRef /Size 22 /W [1 4 2] /Index [20 1] /Length 7 >>\nstream\n%s\nendstream\nendobj\n", row)
	start := out.Len()
	fmt.Fprintf(out, "xref\n21 1\n%010d 00000 n \ntrailer\n<< /Size 22 /Root 1 0 R /Prev %s /XRefStm %d >>\nstartxref\n%d\n%%%%EOF\n", at, all[0][1], at, start)
	return out.Bytes()
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func stream(dict, data string) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", dict, len(data), data)
}

// formDoc has two pages and a form: text field memo, check box agree, empty
// signature field Sig1 (visible), and a button slice.
func formDoc() testDoc {
	return testDoc{
		trailer: "/Root 1 0 R /Info 10 0 R /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]",
		objects: []string{
			"<< /Type /Catalog /Pages 2 0 R /AcroForm 6 0 R /X-Unknown (kept) >>",
			"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 /MediaBox [0 0 595 842] /Resources << /Font << /F1 11 0 R >> >> >>",
			"<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Annots [7 0 R 8 0 R 9 0 R] >>",
			"<< /Type /Page /Parent 2 0 R /Contents 5 0 R /Annots [14 0 R] /Rotate 90 >>",
			stream("", "BT /F1 24 Tf 72 720 Td (Loan contract) Tj ET"),
			"<< /Fields [7 0 R 8 0 R 9 0 R 14 0 R] /DA (/F1 12 Tf 0 g) /DR << /Font << /F1 11 0 R >> >> /NeedAppearances true >>",
			"<< /Type /Annot /Subtype /Widget /FT /Tx /T (memo) /V (old) /Rect [72 600 300 620] /P 3 0 R /F 4 >>",
			"<< /Type /Annot /Subtype /Widget /FT /Btn /T (agree) /Rect [72 560 84 572] /P 3 0 R /F 4 /AS /Off /AP << /N << /Yes 12 0 R /Off 13 0 R >> >> >>",
			"<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig1) /Rect [72 100 272 160] /P 3 0 R /F 4 >>",
			"<< /Producer (test) >>",
			"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
			stream("/Type /XObject /Subtype /Form /BBox [0 0 12 12]", "0 0 12 12 re f"),
			stream("/Type /XObject /Subtype /Form /BBox [0 0 12 12]", ""),
			"<< /Type /Annot /Subtype /Widget /FT /Btn /Ff 65536 /T (slice) /Rect [500 300 560 500] /P 4 0 R /F 4 >>",
		},
	}
}

// plainDoc has one page and no form.
func plainDoc() testDoc {
	return testDoc{
		trailer: "/Root 1 0 R",
		objects: []string{
			"<< /Type /Catalog /Pages 2 0 R >>",
			"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
			"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
			stream("", "BT /F1 24 Tf 72 720 Td (Hello) Tj ET"),
		},
	}
}

// signer is a key with its chain, and the authority behind it.
type signer struct {
	ca    *devca.CA
	key   crypto.Signer
	chain []*x509.Certificate
}

// signers are made once: key generation is not what the tests are about.
var (
	signersMu sync.Mutex
	signers   = map[string]signer{}
)

func newSigner(t testing.TB, alg string) signer {
	t.Helper()
	signersMu.Lock()
	defer signersMu.Unlock()
	if s, ok := signers[alg]; ok {
		return s
	}
	ca, err := devca.NewInsecure(&devca.Options{Algorithm: alg})
	require.NoError(t, err)
	key, chain, err := ca.NewSigner(context.Background(), "Zhang San")
	require.NoError(t, err)
	s := signer{ca, key, chain}
	signers[alg] = s
	return s
}

func (s signer) spec() pades.Spec { return pades.Spec{Chain: s.chain} }

// signAt is a fixed claimed time, so that results repeat.
var signAt = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// sign signs doc and returns the new document.
func sign(t testing.TB, doc []byte, s signer, spec pades.Spec) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := pades.Sign(t.Context(), bytes.NewReader(doc), int64(len(doc)), &out, spec, s.key,
		&pades.FinishOptions{Timestamper: s.ca, SelfCheck: true})
	require.NoError(t, err)
	readElsewhere(t, out.Bytes(), s, spec)
	return out.Bytes()
}

// readElsewhere reads the newest CMS of a file with an independent reader, where
// that knows the algorithm (C5).
func readElsewhere(t testing.TB, file []byte, s signer, spec pades.Spec) {
	t.Helper()
	switch key := s.key.Public().(type) {
	case *rsa.PublicKey:
		if spec.Algorithm == pades.RSAPSS {
			return
		}
	case *ecdsa.PublicKey:
		if c := key.Curve; c != elliptic.P256() && c != elliptic.P384() && c != elliptic.P521() {
			return // SM2
		}
	default:
		return
	}
	part := lastPart(t, file)
	p, err := mozilla.Parse(part.CMS)
	require.NoError(t, err)
	p.Content = part.Content
	require.NoError(t, p.Verify())
}

// verify verifies doc under the signer's root.
func verify(t testing.TB, doc []byte, s signer) *pades.Report {
	t.Helper()
	r, err := pades.Verify(t.Context(), bytes.NewReader(doc), int64(len(doc)), &pades.VerifyOptions{Roots: s.ca.Roots()})
	require.NoError(t, err)
	return r
}

func fields(t testing.TB, doc []byte) map[string]pades.Field {
	t.Helper()
	list, err := pades.Fields(t.Context(), bytes.NewReader(doc), int64(len(doc)), nil)
	require.NoError(t, err)
	m := map[string]pades.Field{}
	for _, f := range list {
		m[f.Name] = f
	}
	return m
}
