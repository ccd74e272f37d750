package evidence

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"github.com/countersign/countersign/internal/canon"
)

//go:embed howto.txt
var howto []byte

// The entries of a bundle that have a name of their own.
const (
	pathManifest    = "manifest.json"
	pathNote        = "manifest.note"
	pathEvents      = "events.jsonl"
	pathDisclosures = "disclosures.jsonl"
	pathEnvironment = "environment.json"
	pathHowto       = "HOWTO-VERIFY.txt"

	manifestVersion = 1
	manifestPolicy  = "countersign/bundle/v1"
	manifestLabel   = "countersign/manifest/v1"

	maxManifest    = 64 << 20
	maxEvents      = 512 << 20
	maxDisclosures = 64 << 20
)

// A manifest is the table of contents that the log signs.
type manifest struct {
	origin, tenant, env string
	claim               Claim
	blind               []byte   // blind_env of this envelope
	hashes              [][]byte // of every event
	entries             []manifestEntry
}

type manifestEntry struct {
	path   string
	digest Digest
}

func (m *manifest) encode() ([]byte, error) {
	hashes := make([]any, len(m.hashes))
	for i, h := range m.hashes {
		hashes[i] = hex.EncodeToString(h)
	}
	entries := make([]any, len(m.entries))
	for i, e := range m.entries {
		entries[i] = map[string]any{"path": e.path, "sha256": e.digest.SHA256.String(), "size": e.digest.Size, "sm3": e.digest.SM3.String()}
	}
	b, err := canon.Append(nil, map[string]any{
		"v": manifestVersion, "policy": manifestPolicy, "origin": m.origin, "tenant": m.tenant, "env": m.env,
		"blind": hex.EncodeToString(m.blind), "events": hashes, "entries": entries,
		"claim": map[string]any{"kind": m.claim.Kind, "last": m.claim.Last, "head": m.claim.Head.String(), "seal": m.claim.Seal,
			"docs": m.claim.Docs, "size": m.claim.Size},
	})
	if err == nil && len(b) > maxManifest {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("evidence: manifest: %w", err)
	}
	return b, nil
}

func parseManifest(b []byte) (*manifest, error) {
	o, err := canon.ParseObject(b, maxManifest)
	if err != nil {
		return nil, err
	}
	r := reader{o: o}
	m := &manifest{origin: r.text("origin"), tenant: r.text("tenant"), env: r.text("env"), blind: r.hex("blind")}
	ok := r.int("v") == manifestVersion && r.text("policy") == manifestPolicy && len(o) == 9
	r.object("claim", func(r *reader) {
		m.claim = Claim{Kind: r.text("kind"), Last: r.int("last"), Head: r.hex("head"), Seal: r.int("seal"), Docs: r.text("docs"),
			Size: r.int("size"), Known: true}
		ok = ok && len(r.o) == 6
	})
	list, _ := member[[]any](&r, "events")
	for _, x := range list {
		s, _ := x.(string)
		h, err := hex.DecodeString(s)
		ok = ok && err == nil && len(h) == sha256.Size
		m.hashes = append(m.hashes, h)
	}
	r.each("entries", func(r *reader) {
		d := r.digest()
		ok = ok && len(r.o) == 4 && len(d.SHA256) == sha256.Size && len(d.SM3) == sha256.Size
		m.entries = append(m.entries, manifestEntry{r.text("path"), d})
	})
	c := m.claim
	ok = ok && !r.bad && validOrigin(m.origin) && checkChain(m.tenant, m.env) == nil && len(m.blind) == 32 &&
		c.Last > 0 && c.Last == uint64(len(m.hashes)) && slices.Equal(c.Head, m.hashes[len(m.hashes)-1]) && c.Seal <= c.Last &&
		(c.Kind == ClaimSealed && c.Seal > 0 || c.Kind == ClaimOpen && c.Seal == 0) && (c.Docs == DocsFull || c.Docs == DocsDigests)
	if !ok {
		return nil, fmt.Errorf("%w: manifest", ErrForm)
	}
	return m, nil
}

func manifestText(origin string, manifest []byte) string {
	h := sha256.Sum256(manifest)
	return manifestLabel + "\n" + origin + "\n" + base64.StdEncoding.EncodeToString(h[:]) + "\n"
}

func signNote(text string, by []noteSigner) ([]byte, error) {
	signers := make([]note.Signer, len(by))
	for i := range by {
		signers[i] = by[i]
	}
	b, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("evidence: sign note: %w", err)
	}
	return b, nil
}

// docPath is the entry of a revision; ids that a file name cannot hold are
// written in hexadecimal.
func docPath(id string, rev int) string {
	return "docs/" + fileName(id) + "-" + strconv.Itoa(rev) + ".pdf"
}

// environment describes what made the bundle: reported by itself, and worth as
// much (A8, civil evidence rules §93).
func environment() ([]byte, error) {
	modules := []any{}
	main := map[string]any{}
	if bi, ok := debug.ReadBuildInfo(); ok {
		main["path"], main["version"] = bi.Main.Path, bi.Main.Version
		for _, d := range bi.Deps {
			modules = append(modules, map[string]any{"path": d.Path, "version": d.Version, "sum": d.Sum})
		}
	}
	return canon.Append(nil, map[string]any{"v": 1, "sdk": "github.com/countersign/countersign", "main": main, "modules": modules,
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "self_test": selfTest()})
}

// selfTest checks both hashes against the examples of their standards.
func selfTest() bool {
	d := DigestsOf([]byte("abc"))
	return d.SHA256.String() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" &&
		d.SM3.String() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
}

// finalDocs are the last revisions of every document that events name, each
// with the event that says so.
type finalDoc struct {
	DocChange
	seq uint64
}

func finalDocs(events []Event) []finalDoc {
	var out []finalDoc
	place := map[string]int{}
	for _, e := range events {
		for _, d := range e.Docs {
			if d.After.IsZero() {
				continue
			}
			i, ok := place[d.ID]
			if !ok {
				place[d.ID] = len(out)
				out = append(out, finalDoc{d, e.Seq})
			} else if !out[i].After.Equal(d.After) || out[i].Rev != d.Rev {
				out[i] = finalDoc{d, e.Seq} // the first event that names the final bytes
			}
		}
	}
	return out
}
