package pades_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign/pades"
)

// Inputs are generated, never stored (pades.md §8).
var benchInputs = map[string]func() []byte{
	"50KB":        func() []byte { return weighty(50<<10, false) },
	"50KB-objstm": func() []byte { return weighty(50<<10, true) },
	"1MB":         func() []byte { return weighty(1<<20, false) },
	"20MB":        func() []byte { return weighty(20<<20, false) },
	"100MB":       func() []byte { return weighty(100<<20, false) },
	"200k":        func() []byte { return crowded(200_000, false) },
	"200k-objstm": func() []byte { return crowded(200_000, true) },
}

var (
	inputMu sync.Mutex
	inputs  = map[string][]byte{}
)

func benchInput(name string) []byte {
	inputMu.Lock()
	defer inputMu.Unlock()
	if inputs[name] == nil {
		inputs[name] = benchInputs[name]()
	}
	return inputs[name]
}

// weighty is a document of about size bytes, most of them in one image.
func weighty(size int, objstm bool) []byte {
	d := plainDoc()
	data := make([]byte, size-2000)
	rand.Read(data)
	d.objects = append(d.objects, stream("/Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8", string(data)))
	if objstm {
		return d.streams()
	}
	return d.classic()
}

// crowded is a document of n small objects.
func crowded(n int, objstm bool) []byte {
	d := plainDoc()
	noise := make([]byte, 48) // so that compression leaves about as much as in real files
	for i := range n {
		rand.Read(noise)
		d.objects = append(d.objects, fmt.Sprintf("<< /N %d /T (%s) >>", i, base64.StdEncoding.EncodeToString(noise)))
	}
	if objstm {
		return d.streams()
	}
	return d.classic()
}

// floor is what cannot be avoided: the digest of the input, one key operation,
// and, copied, a memcpy.
func floor(b []byte, key crypto.Signer, copied bool) time.Duration {
	start := time.Now()
	if copied {
		bytes.Clone(b)
	}
	sum := sha256.Sum256(b)
	if _, err := key.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
		panic(err)
	}
	return time.Since(start)
}

// BenchmarkSign reports the ratio to the floor measured in the same loop.
func BenchmarkSign(b *testing.B) {
	for _, input := range []string{"50KB", "50KB-objstm", "1MB", "20MB", "100MB", "200k", "200k-objstm"} {
		for _, alg := range []string{"ecdsa", "rsa"} {
			if alg == "rsa" && !strings.HasPrefix(input, "50KB") {
				continue
			}
			b.Run(input+"/"+alg, func(b *testing.B) {
				doc := benchInput(input)
				s := newSigner(b, alg)
				spec := s.spec()
				spec.Info.Time = signAt
				var least, ours time.Duration
				b.ReportAllocs()
				b.SetBytes(int64(len(doc)))
				out := bytes.NewBuffer(make([]byte, 0, len(doc)+1<<20))
				for b.Loop() {
					least += floor(doc, s.key, true)
					out.Reset()
					start := time.Now()
					_, err := pades.Sign(b.Context(), bytes.NewReader(doc), int64(len(doc)), out, spec, s.key, nil)
					ours += time.Since(start)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(ours)/float64(least), "x-floor")
				b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "us/sign")
				b.ReportMetric(float64(floor(nil, s.key, false).Microseconds()), "key-us")
			})
		}
	}
}

// BenchmarkFinish fills a signature value in; the document is not there.
func BenchmarkFinish(b *testing.B) {
	for _, input := range []string{"50KB", "100MB"} {
		b.Run(input+"/ecdsa", func(b *testing.B) {
			doc := benchInput(input)
			s := newSigner(b, "ecdsa")
			p, err := pades.Prepare(b.Context(), bytes.NewReader(doc), int64(len(doc)), s.spec())
			require.NoError(b, err)
			raw, err := s.key.Sign(rand.Reader, p.ToSign, crypto.SHA256)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := pades.Finish(b.Context(), p, pades.Signature{Raw: raw}, nil)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkResume is the k-th signature of a document with the state of the
// one before, increment only.
func BenchmarkResume(b *testing.B) {
	for _, input := range []string{"50KB", "100MB", "200k"} {
		b.Run(input, func(b *testing.B) {
			doc := bytes.Clone(benchInput(input))
			s := newSigner(b, "ecdsa")
			first, err := pades.Sign(b.Context(), bytes.NewReader(doc), int64(len(doc)), nil, s.spec(), s.key, nil)
			require.NoError(b, err)
			doc = append(doc, first.Increment...)
			spec := s.spec()
			spec.Resume = first.State
			var key, ours time.Duration
			b.ReportAllocs()
			for b.Loop() {
				key += floor(nil, s.key, false)
				start := time.Now()
				_, err := pades.Sign(b.Context(), bytes.NewReader(doc), int64(len(doc)), nil, spec, s.key, nil)
				ours += time.Since(start)
				require.NoError(b, err)
			}
			b.ReportMetric(float64((ours-key).Microseconds())/float64(b.N), "us-over-key")
		})
	}
}

// BenchmarkVerify verifies one signature, and 25.
func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		input string
		n     int
	}{{"50KB", 1}, {"1MB", 1}, {"1MB", 25}, {"20MB", 1}, {"100MB", 1}, {"200k", 1}} {
		b.Run(fmt.Sprintf("%s/%d", c.input, c.n), func(b *testing.B) {
			doc := bytes.Clone(benchInput(c.input))
			s := newSigner(b, "ecdsa")
			for range c.n {
				res, err := pades.Sign(b.Context(), bytes.NewReader(doc), int64(len(doc)), nil, s.spec(), s.key, nil)
				require.NoError(b, err)
				doc = append(doc, res.Increment...)
			}
			o := &pades.VerifyOptions{Roots: s.ca.Roots()}
			var hash, ours time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				sha256.Sum256(doc)
				hash += time.Since(start)
				start = time.Now()
				r, err := pades.Verify(b.Context(), bytes.NewReader(doc), int64(len(doc)), o)
				ours += time.Since(start)
				require.NoError(b, err)
				require.Equal(b, pades.Passed, r.Verdict)
			}
			b.ReportMetric(float64(hash.Microseconds())/float64(b.N), "us-hash")
			b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "us/verify")
		})
	}
}
