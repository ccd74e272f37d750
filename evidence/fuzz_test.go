package evidence_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/evidence"
)

// Whatever is not one of the bundles that the log signed is refused: nobody
// without the key makes another one.
func FuzzVerify(f *testing.F) {
	// Frozen bundles: the workers of a fuzz run are processes of their own.
	var signed [][]byte
	for _, path := range must(filepath.Glob(filepath.Join(vectorDir, "bundles", "*.esev"))) {
		b := must(os.ReadFile(path))
		f.Add(b)
		signed = append(signed, b)
	}
	trust := must(evidence.ParseTrust(bytes.NewReader(must(os.ReadFile(filepath.Join(vectorDir, "bundles", "trust.txt"))))))
	f.Add([]byte("PK\x05\x06" + string(make([]byte, 18))))
	o := &evidence.VerifyOptions{Keys: trust}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := evidence.Verify(bytes.NewReader(b), int64(len(b)), o)
		if err != nil {
			if !errors.Is(err, evidence.ErrUnreadable) {
				t.Fatal(err)
			}
			return
		}
		if r.Verdict == evidence.Failed {
			return
		}
		for _, s := range signed {
			if bytes.Equal(s, b) {
				return
			}
		}
		t.Fatalf("accepted bytes that nobody signed: %s", r.Verdict)
	})
}

func FuzzParseEvent(f *testing.F) {
	w := newWorld(f, nil)
	w.envelope("e")
	for e, err := range w.log.Events(w.ctx, "acme", "e", 0) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := evidence.ParseEvent(b)
		if err != nil {
			if !errors.Is(err, evidence.ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Bytes(), b) {
			t.Fatal("accepted bytes that are not the one form")
		}
	})
}

func FuzzParseTrust(f *testing.F) {
	w, s := anchoredWorld(f)
	f.Add([]byte("log " + w.log.VerifierKey() + " 8\n" + s.trustLines()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := evidence.ParseTrust(bytes.NewReader(b)); err != nil && !errors.Is(err, evidence.ErrTrust) {
			t.Fatal(err)
		}
	})
}

func FuzzNote(f *testing.F) {
	w, _ := anchoredWorld(f)
	w.envelope("e")
	w.anchor()
	b := w.export("e", nil)
	for _, name := range []string{"manifest.note", "anchors/8-checkpoint.txt", "proofs/3.tlog-proof"} {
		f.Add(mustEntry(b, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := evidence.ParseNote(b); err != nil && !errors.Is(err, evidence.ErrNote) {
			t.Fatal(err)
		}
		if _, err := evidence.ParseProof(b); err != nil && !errors.Is(err, evidence.ErrNote) {
			t.Fatal(err)
		}
	})
}
