package evidence_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/internal/pdftest"
	"github.com/countersign/countersign/internal/tsp"
)

// c2sp reads a published log with x/mod alone, by the paths of C2SP tlog-tiles.
type c2sp struct {
	t   testing.TB
	url string
}

func (c c2sp) get(path string) ([]byte, int) {
	resp, err := http.Get(c.url + "/" + path)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	return must(io.ReadAll(resp.Body)), resp.StatusCode
}

// path is x/mod's own path of a tile without its height.
func (c2sp) path(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), "tile/8/")
	if rest, ok := strings.CutPrefix(p, "data/"); ok {
		p = "entries/" + rest
	}
	return "tile/" + p
}

func (c2sp) Height() int { return 8 }

func (c2sp) SaveTiles([]tlog.Tile, [][]byte) {}

func (c c2sp) ReadTiles(list []tlog.Tile) (out [][]byte, err error) {
	for _, x := range list {
		b, status := c.get(c.path(x))
		if status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d", c.path(x), status)
		}
		out = append(out, b)
	}
	return out, nil
}

// x/mod opens our checkpoints, and proves every leaf from the tiles we publish.
func TestXModReadsPublishedLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	server := httptest.NewServer(w.log.TileHandler())
	t.Cleanup(server.Close)
	c := c2sp{t, server.URL}
	_, status := c.get("checkpoint")
	assert.Equal(t, http.StatusNotFound, status, "before the first")
	verifier := must(note.NewVerifier(w.log.VerifierKey()))
	var before tlog.Tree
	size := int64(0)
	for _, n := range []int{1, 2, 252, 1, 1, 300} { // 255, 256, 257 among the sizes
		for range n {
			must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: fmt.Sprintf("e%d", size%7), Type: "session.login", Actor: evidence.Actor{ID: "u"}}))
			size++
		}
		for must(w.log.Sequence(w.ctx)) > 0 {
		}
		b, status := c.get("checkpoint")
		require.Equal(t, http.StatusOK, status)
		opened, err := note.Open(b, note.VerifierList(verifier))
		require.NoError(t, err)
		lines := strings.Split(opened.Text, "\n")
		require.Equal(t, []string{origin, fmt.Sprint(size)}, lines[:2])
		tree := tlog.Tree{N: size, Hash: must(tlog.ParseHash(lines[2]))}
		hashes := tlog.TileHashReader(tree, c)
		for i := range size {
			entries, status := c.get(c.path(tlog.Tile{H: 8, L: -1, N: i / 256, W: int(min(256, size-i/256*256))}))
			require.Equal(t, http.StatusOK, status)
			leaf := nthEntry(entries, int(i%256))
			p, err := tlog.ProveRecord(size, i, hashes)
			require.NoError(t, err)
			require.NoError(t, tlog.CheckRecord(p, size, tree.Hash, i, tlog.RecordHash(leaf)), "leaf %d of %d", i, size)
		}
		if before.N > 0 {
			p, err := tlog.ProveTree(tree.N, before.N, hashes)
			require.NoError(t, err)
			require.NoError(t, tlog.CheckTree(p, tree.N, tree.Hash, before.N, before.Hash))
		}
		before = tree
	}
	for _, path := range []string{"", "tile/0/003", "tile/0/002.p/46", "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/1", "tile/00/000", "tile/0/x000/001", "tile/9/000", "tile/entries/000.p/x",
		"tile/data/000", "tile/0/000/", "../checkpoint", "tile/0/x999/x999/x999/x999/999", "tile/0/x999/x999/x999/x999/x999/999", "tile/64/000"} {
		_, err := w.log.Published(w.ctx, path)
		assert.ErrorIs(t, err, evidence.ErrNotFound, path)
	}
	resp, err := http.Post(server.URL+"/checkpoint", "text/plain", nil)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

func nthEntry(b []byte, n int) []byte {
	for range n {
		b = b[2+int(b[0])<<8+int(b[1]):]
	}
	return b[2 : 2+int(b[0])<<8+int(b[1])]
}

// x/mod opens the notes of a bundle and checks its proofs, without our readers.
func TestXModReadsBundles(t *testing.T) {
	t.Parallel()
	w, _ := anchoredPair(t)
	files := entries(w.export("nda-17", nil))
	known := note.VerifierList(must(note.NewVerifier(w.log.VerifierKey())))
	tree := map[int64]tlog.Hash{}
	open := func(b []byte) (int64, tlog.Hash) {
		n, err := note.Open(b, known)
		require.NoError(t, err)
		cp, err := tlog.ParseTree([]byte("go.sum database tree\n" + strings.SplitN(n.Text, "\n", 2)[1]))
		require.NoError(t, err)
		return cp.N, cp.Hash
	}
	proofs := 0
	for name, b := range files {
		switch {
		case strings.HasSuffix(name, "-checkpoint.txt"):
			n, h := open(b)
			tree[n] = h
		case strings.HasPrefix(name, "proofs/"):
			head, cp, _ := bytes.Cut(b, []byte("\n\n"))
			n, root := open(cp)
			lines := strings.Split(string(head), "\n")
			var index int64
			_, err := fmt.Sscanf(lines[1], "index %d", &index)
			require.NoError(t, err)
			var p tlog.RecordProof
			for _, l := range lines[2:] {
				p = append(p, must(tlog.ParseHash(l)))
			}
			var m struct{ Blind, Env string }
			require.NoError(t, json.Unmarshal(files["manifest.json"], &m))
			var seq uint64
			_, err = fmt.Sscanf(name, "proofs/%d.tlog-proof", &seq)
			require.NoError(t, err)
			raw := bytes.Split(files["events.jsonl"], []byte("\n"))[seq-1]
			require.NoError(t, tlog.CheckRecord(p, n, root, index, tlog.RecordHash(evidence.LeafBytes(unhex(m.Blind), m.Env, seq, raw))))
			proofs++
		}
	}
	assert.Equal(t, envelopeEvents, proofs)
	var p tlog.TreeProof
	for _, l := range strings.Fields(string(files["consistency/8-16.txt"])) {
		p = append(p, must(tlog.ParseHash(l)))
	}
	require.NoError(t, tlog.CheckTree(p, 16, tree[16], 8, tree[8]))
	n, err := note.Open(files["manifest.note"], known)
	require.NoError(t, err)
	assert.Contains(t, n.Text, "countersign/manifest/v1\n"+origin+"\n")
	// What x/mod opens in two forms has one here.
	cp := files["anchors/16-checkpoint.txt"]
	stray := bytes.Clone(cp)
	i := bytes.LastIndexByte(stray, '=') - 1
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	k := strings.IndexByte(alphabet, stray[i])
	if stray[i+1] == '=' && i+2 < len(stray) { // the last character has bits to spare
		stray[i] = alphabet[k^1]
		if _, err := note.Open(stray, known); err == nil {
			assert.ErrorIs(t, evidence.ParseNote(stray), evidence.ErrNote)
		}
	}
}

// A tokenCase is a token, and what every strict reader must say of it.
type tokenCase struct {
	Name  string `json:"name"`
	Token []byte `json:"token"`
	Good  bool   `json:"good"`
}

type tokenVector struct {
	Origin string      `json:"origin"`
	Size   uint64      `json:"size"`
	Root   []byte      `json:"root"`
	Body   string      `json:"body"` // what the tokens are over
	CA     []byte      `json:"ca"`   // DER, the root to trust
	Tokens []tokenCase `json:"tokens"`
}

// tokens makes a good token in three kinds and twelve bad ones, over the body of
// a checkpoint.
func tokens(t testing.TB) tokenVector {
	now := time.Now().UTC().Truncate(time.Second)
	from, to := now.AddDate(-1, 0, 0), now.AddDate(20, 0, 0)
	rootKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := func(name string, key *ecdsa.PrivateKey) *x509.Certificate {
		x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, x, x, key.Public(), key))))
	}
	root := ca("token root TEST ONLY", rootKey)
	otherKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	other := ca("other root TEST ONLY", otherKey)
	stamping, server := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	type leafSpec struct {
		usage     []asn1.ObjectIdentifier
		loose     bool // not critical
		issuer    *x509.Certificate
		issuerKey *ecdsa.PrivateKey
		from, to  time.Time
	}
	serial := int64(1)
	responder := func(s leafSpec) *tsp.Responder {
		serial++
		if s.issuer == nil {
			s.issuer, s.issuerKey = root, rootKey
		}
		if s.from.IsZero() {
			s.from, s.to = from, to
		}
		x := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "TSA TEST ONLY"}, NotBefore: s.from, NotAfter: s.to, KeyUsage: x509.KeyUsageDigitalSignature}
		if s.usage != nil {
			x.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: !s.loose, Value: must(asn1.Marshal(s.usage))}}
		}
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		leaf := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, x, s.issuer, key.Public(), s.issuerKey))))
		return &tsp.Responder{Key: key, Chain: []*x509.Certificate{leaf}, Accuracy: time.Second, Now: func() time.Time { return now }}
	}
	v := tokenVector{Origin: origin, Size: 7, Root: sumOf([]byte("root")), CA: root.Raw}
	v.Body = fmt.Sprintf("%s\n%d\n%s\n", v.Origin, v.Size, tlog.Hash(v.Root))
	sum := sumOf([]byte(v.Body))
	ask := func(r *tsp.Responder, q *tsp.Request) []byte {
		b, err := r.Token(q)
		require.NoError(t, err)
		return b
	}
	plain := &tsp.Request{Digest: "SHA-256", Sum: sum, Certificates: true}
	sound := responder(leafSpec{usage: []asn1.ObjectIdentifier{stamping}})
	good := ask(sound, plain)
	put := func(name string, ok bool, token []byte) { v.Tokens = append(v.Tokens, tokenCase{name, token, ok}) }
	put("good", true, good)
	put("with a nonce nobody asked for", true, ask(sound, &tsp.Request{Digest: "SHA-256", Sum: sum, Certificates: true, Nonce: big.NewInt(12345)}))
	exact := *sound
	exact.Accuracy = 0
	put("without accuracy", true, ask(&exact, plain))
	put("over another digest", false, ask(sound, &tsp.Request{Digest: "SHA-256", Sum: sumOf([]byte("other")), Certificates: true}))
	put("by another hash", false, ask(sound, &tsp.Request{Digest: "SHA-384", Sum: make([]byte, 48), Certificates: true}))
	put("without the signer's certificate", false, ask(sound, &tsp.Request{Digest: "SHA-256", Sum: sum}))
	put("usage of a server", false, ask(responder(leafSpec{usage: []asn1.ObjectIdentifier{server}}), plain))
	put("usage not critical", false, ask(responder(leafSpec{usage: []asn1.ObjectIdentifier{stamping}, loose: true}), plain))
	put("usage not alone", false, ask(responder(leafSpec{usage: []asn1.ObjectIdentifier{stamping, server}}), plain))
	put("no usage", false, ask(responder(leafSpec{}), plain))
	put("under another root", false, ask(responder(leafSpec{usage: []asn1.ObjectIdentifier{stamping}, issuer: other, issuerKey: otherKey}), plain))
	put("certificate ended before", false, ask(responder(leafSpec{usage: []asn1.ObjectIdentifier{stamping}, from: from, to: now.AddDate(0, -1, 0)}), plain))
	bit := bytes.Clone(good)
	bit[len(bit)-3] ^= 1
	put("signature changed", false, bit)
	later := bytes.Clone(good)
	at := bytes.Index(later, []byte(now.Format("20060102150405Z")))
	require.Positive(t, at)
	later[at+3] ^= 1 // another year
	put("time changed", false, later)
	cut := bytes.Clone(good)
	put("bytes behind it", false, append(cut, 0))
	return v
}

// Strict verification of timestamps: a good token in three forms, and twelve that
// each break one rule (A5), frozen.
func TestVectorsTokens(t *testing.T) {
	t.Parallel()
	v := frozenJSON(t, "tokens.json", func() tokenVector { return tokens(t) })
	pemRoot := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.CA}))
	trust := must(evidence.ParseTrust(strings.NewReader("tsa\n" + pemRoot)))
	bad := 0
	for _, c := range v.Tokens {
		t.Run("T13 "+c.Name, func(t *testing.T) {
			cp := evidence.Checkpoint{Origin: v.Origin, Size: v.Size, Root: v.Root}
			a, err := evidence.TSA{}.Verify(cp, evidence.AnchorReceipt{Anchor: "tsa", Kind: "tsr", Final: true, Data: c.Token}, &evidence.VerifyOptions{Keys: trust})
			if c.Good {
				require.NoError(t, err)
				assert.False(t, a.Time.IsZero())
				assert.Equal(t, time.Second, a.Accuracy)
				return
			}
			require.Error(t, err)
			if c.Name != "under another root" {
				require.NotErrorIs(t, err, evidence.ErrUntrusted, "it is wrong in itself")
			}
			_, err = evidence.TSA{}.Verify(cp, evidence.AnchorReceipt{Anchor: "tsa", Kind: "tsr", Data: c.Token}, nil)
			require.Error(t, err, "nothing is accepted without trust")
		})
		if !c.Good {
			bad++
		}
	}
	assert.Equal(t, 12, bad)
}

// openssl says the same of good and bad tokens as we do.
func TestOpenSSLAgreesOnTokens(t *testing.T) {
	pdftest.Need(t, "openssl")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, b, 0o644))
		return path
	}
	v := tokens(t) // fresh ones: openssl judges certificates by today
	pemRoot := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.CA})
	trust := must(evidence.ParseTrust(strings.NewReader("tsa\n" + string(pemRoot))))
	body, roots := file("body", []byte(v.Body)), file("root.pem", pemRoot)
	agreed := 0
	for i, c := range v.Tokens {
		cp := evidence.Checkpoint{Origin: v.Origin, Size: v.Size, Root: v.Root}
		_, err := evidence.TSA{}.Verify(cp, evidence.AnchorReceipt{Anchor: "tsa", Kind: "tsr", Final: true, Data: c.Token}, &evidence.VerifyOptions{Keys: trust})
		out, code := pdftest.Tool(t, "openssl", "ts", "-verify", "-data", body, "-token_in", "-in", file(fmt.Sprint(i), c.Token), "-CAfile", roots)
		if c.Name == "bytes behind it" { // openssl reads the first value of a file and stops
			assert.Zero(t, code, out)
			assert.Error(t, err)
			continue
		}
		assert.Equal(t, code == 0, err == nil, "%s: openssl %d %s; we: %v", c.Name, code, out, err)
		agreed++
	}
	t.Logf("openssl and we agree on %d of %d tokens; it takes one with bytes behind it, which we refuse", agreed, len(v.Tokens))

	// And it is our anchor's token that openssl is asked about.
	w, s := anchoredPair(t)
	files := entries(w.export("nda-17", nil))
	text, _, _ := bytes.Cut(files["anchors/16-checkpoint.txt"], []byte("\n\n"))
	root := file("anchor.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root.Raw}))
	out, code := pdftest.Tool(t, "openssl", "ts", "-verify", "-data", file("cp", append(text, '\n')), "-token_in", "-in", file("tsr", files["anchors/16-tsa.tsr"]), "-CAfile", root)
	assert.Zero(t, code, out)
	out, code = pdftest.Tool(t, "openssl", "ts", "-verify", "-data", file("cp2", text), "-token_in", "-in", file("tsr", files["anchors/16-tsa.tsr"]), "-CAfile", root)
	assert.NotZero(t, code, out)
}
