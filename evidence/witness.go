package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// algCosignature is the algorithm byte of cosignature/v1 keys (C2SP
// tlog-cosignature); 0x06, ML-DSA-44, is skipped on reading.
const algCosignature = 0x04

const maxWitnessAnswer = 64 << 10

// A witnessKey is the key of somebody who checks that the log only grows.
type witnessKey struct {
	name string
	hash uint32
	pub  ed25519.PublicKey
}

// parseWitnessKey reads name+hash+base64(0x04 ‖ key).
func parseWitnessKey(s string) (witnessKey, error) {
	name, rest, ok := strings.Cut(s, "+")
	sum, b64, ok2 := strings.Cut(rest, "+")
	key, err := strictBase64(b64)
	if !ok || !ok2 || err != nil || name == "" || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return witnessKey{}, fmt.Errorf("%w: witness key", ErrTrust)
	}
	w := witnessKey{name: name, pub: key[1:], hash: keyHash(name, key)}
	if sum != fmt.Sprintf("%08x", w.hash) {
		return witnessKey{}, fmt.Errorf("%w: witness key", ErrTrust)
	}
	return w, nil
}

func keyHash(name string, key []byte) uint32 {
	h := sha256.Sum256(append([]byte(name+"\n"), key...))
	return binary.BigEndian.Uint32(h[:])
}

// cosigned checks a cosignature and returns when it was made. The signature is
// an instant in seconds, as 8 bytes, and Ed25519 over that and the checkpoint.
func (w witnessKey) cosigned(cp Checkpoint, s noteSig) (time.Time, bool) {
	if s.name != w.name || s.hash != w.hash || len(s.sig) != 8+ed25519.SignatureSize {
		return time.Time{}, false
	}
	at := binary.BigEndian.Uint64(s.sig)
	if at > 1<<40 {
		return time.Time{}, false
	}
	msg := "cosignature/v1\ntime " + strconv.FormatUint(at, 10) + "\n" + string(cp.body())
	return time.Unix(int64(at), 0).UTC(), ed25519.Verify(w.pub, []byte(msg), s.sig[8:])
}

// A Witness anchors checkpoints with a C2SP tlog-witness: somebody who signs
// them after checking that each extends the last, so that the log cannot show
// two pasts to two people.
type Witness struct {
	Label string // name of the anchor. Required
	// URL is the submission prefix; /add-checkpoint is appended. Required.
	URL string
	// Key is the witness's verifier key, as in a trust file. Required.
	Key string
	// Client sends the request; nil is http.DefaultClient.
	Client *http.Client

	prove func(ctx context.Context, a, b uint64) ([]byte, error) // set by New
}

var _ Anchor = Witness{}

// Name implements [Anchor].
func (w Witness) Name() string { return w.Label }

// Submit implements [Anchor]. A witness that knows another size says so, and is
// asked again with the proof from there.
func (w Witness) Submit(ctx context.Context, cp Checkpoint) (AnchorReceipt, error) {
	key, err := parseWitnessKey(w.Key)
	if err != nil {
		return AnchorReceipt{}, err
	}
	if w.prove == nil {
		return AnchorReceipt{}, errors.New("evidence: witness: not part of a log")
	}
	var old uint64
	for range 2 {
		status, body, err := w.ask(ctx, cp, old)
		if err != nil {
			return AnchorReceipt{}, err
		}
		switch status {
		case http.StatusOK:
			for line := range strings.Lines(string(body)) {
				n, err := parseNote([]byte("x\n\n" + line))
				if err != nil {
					continue
				}
				if _, ok := key.cosigned(cp, n.sigs[0]); ok {
					data, err := canon.Append(nil, map[string]any{"cosignature": strings.TrimSuffix(line, "\n"), "v": 1})
					return AnchorReceipt{Anchor: w.Label, Kind: kindJSON, Final: true, Data: data}, err
				}
			}
			return AnchorReceipt{}, errors.New("evidence: witness: no cosignature by its key")
		case http.StatusConflict:
			known, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 63)
			if err != nil || known > cp.Size || known == old {
				return AnchorReceipt{}, errors.New("evidence: witness: knows a larger tree or none")
			}
			old = known
		case http.StatusUnprocessableEntity:
			return AnchorReceipt{}, errors.New("evidence: witness: the tree does not extend what it saw before")
		default:
			return AnchorReceipt{}, fmt.Errorf("evidence: witness: status %d", status)
		}
	}
	return AnchorReceipt{}, errors.New("evidence: witness: moved while asked")
}

func (w Witness) ask(ctx context.Context, cp Checkpoint, old uint64) (int, []byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	if old > 0 && old < cp.Size {
		p, err := w.prove(ctx, old, cp.Size)
		if err != nil {
			return 0, nil, err
		}
		b.Write(p)
	}
	b.WriteByte('\n')
	b.Write(cp.Note)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", &b)
	if err != nil {
		return 0, nil, fmt.Errorf("evidence: witness: %w", err)
	}
	c := w.Client
	if c == nil {
		c = http.DefaultClient
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("evidence: witness: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxWitnessAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("evidence: witness: %w", err)
	}
	return resp.StatusCode, body, nil
}

// Upgrade implements [Anchor]; a cosignature is final.
func (w Witness) Upgrade(_ context.Context, r AnchorReceipt) (AnchorReceipt, error) { return r, nil }

// Verify implements [Anchor].
func (w Witness) Verify(cp Checkpoint, r AnchorReceipt, o *VerifyOptions) (Attestation, error) {
	a, err := verifyCosignature(cp, r, o)
	if errors.Is(err, ErrUntrusted) {
		// Right in itself? Only the witness's own key tells.
		key, kerr := parseWitnessKey(w.Key)
		s, serr := parseCosignature(r.Data)
		if kerr != nil || serr != nil {
			return a, errors.Join(kerr, serr)
		}
		at, ok := key.cosigned(cp, s)
		if !ok {
			return a, errors.New("evidence: witness: cosignature")
		}
		return Attestation{Anchor: r.Anchor, Time: at, Accuracy: time.Second}, err
	}
	return a, err
}

func parseCosignature(data []byte) (noteSig, error) {
	bad := errors.New("evidence: witness: not a cosignature")
	o, err := canon.ParseObject(data, maxWitnessAnswer)
	if err != nil {
		return noteSig{}, bad
	}
	r := reader{o: o}
	line := r.text("cosignature")
	n, err := parseNote([]byte("x\n\n" + line + "\n"))
	if err != nil || r.bad || len(o) != 2 || r.int("v") != 1 || len(n.sigs) != 1 {
		return noteSig{}, bad
	}
	return n.sigs[0], nil
}

// verifyCosignature holds a cosignature against the trusted witnesses.
func verifyCosignature(cp Checkpoint, r AnchorReceipt, o *VerifyOptions) (Attestation, error) {
	s, err := parseCosignature(r.Data)
	if err != nil {
		return Attestation{}, err
	}
	if o == nil || o.Keys == nil {
		return Attestation{}, ErrUntrusted
	}
	for _, k := range o.Keys.witnesses {
		if k.name != s.name || k.hash != s.hash {
			continue
		}
		at, ok := k.cosigned(cp, s)
		if !ok {
			return Attestation{}, errors.New("evidence: witness: cosignature")
		}
		return Attestation{Anchor: r.Anchor, Time: at, Accuracy: time.Second}, nil
	}
	return Attestation{}, ErrUntrusted
}

// WitnessKey is the verifier key of a witness, for the line "witness <key>" of
// a trust file.
func WitnessKey(name string, pub ed25519.PublicKey) string {
	key := append([]byte{algCosignature}, pub...)
	sum := binary.BigEndian.AppendUint32(nil, keyHash(name, key))
	return name + "+" + hex.EncodeToString(sum) + "+" + base64.StdEncoding.EncodeToString(key)
}
