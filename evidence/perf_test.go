package evidence_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// perf prints figures with floors of the same run, and skips unless
// COUNTERSIGN_PERF=1. Only ratios are held, at twice their target: the machine's
// own speed is nobody's fault.
func perf(t *testing.T) func(id, what, measured, floor string, ratio float64, target string) {
	t.Helper()
	if os.Getenv("COUNTERSIGN_PERF") != "1" {
		t.Skip("takes a quiet machine: set COUNTERSIGN_PERF=1")
	}
	return func(id, what, measured, floor string, ratio float64, target string) {
		fmt.Printf("PERF %s %s: %s floor %s ratio %.3f target %s\n", id, what, measured, floor, ratio, target)
	}
}

// hashFloor is the processor time of one SHA-256 of so many bytes. What is held
// against it is measured in processor time, too, beside it, so that what else
// runs on the machine weighs on both.
func hashFloor(size int) time.Duration {
	buf := make([]byte, size)
	const n = 100000
	from := cpuTime()
	for range n {
		sha256.Sum256(buf)
	}
	return (cpuTime() - from) / n
}

// specBytes is what F of A11 hashes, for an event of 800 bytes with 6 commitments.
// Six of them make an event larger than that.
const specBytes = 832

// syncFloor is G: the median time to append 4 KiB to a file and sync it.
func syncFloor(t *testing.T, dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "floor"))
	require.NoError(t, err)
	defer f.Close()
	var times []time.Duration
	for range 200 {
		start := time.Now()
		_, err := f.Write(make([]byte, 4096))
		require.NoError(t, err)
		require.NoError(t, f.Sync())
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestPerfAppend measures durable, chained, logged events: boltstore with fsync,
// events of about 800 bytes with 6 commitments, the sequencer running.
func TestPerfAppend(t *testing.T) {
	say := perf(t)
	dir := t.TempDir()
	db, err := boltstore.Open(filepath.Join(dir, "db"), nil)
	require.NoError(t, err)
	g := storage.Group(db, nil)
	length := 10 * time.Second
	if d, err := time.ParseDuration(os.Getenv("COUNTERSIGN_PERF_FOR")); err == nil {
		length = d
	}
	f, sync4k := hashFloor(specBytes), syncFloor(t, dir)
	n, lag, cpu := appendFor(t, g, 256, length)
	rate := float64(n) / length.Seconds()
	say("E1", "boltstore events/s, 256 writers, fsync", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("%s per synced 4 KiB", sync4k), rate*sync4k.Seconds(), ">= 10000/s (ratio: events per floor sync)")
	say("E1", "boltstore backlog at the end", lag.String(), "1s", lag.Seconds(), "< 1")
	perEvent := cpu / time.Duration(max(n, 1))
	say("E2", "CPU per event", perEvent.String(), f.String(), float64(perEvent)/float64(f), "<= 50")
	require.NoError(t, g.Close())
	require.NoError(t, db.Close())
}

// appendFor lets writers append for a while, each to envelopes of its own of 20
// events, and returns how many events were stored, how long after the end the
// tree had the last of them, and the CPU time that went into it. Ids of envelopes
// begin with the time, as those of the SDK do: what is written at one time lies
// close together. (They began with the writer once, which no program does, and
// scattered every commit over the whole file.)
func appendFor(t *testing.T, s storage.Store, writers int, length time.Duration) (int64, time.Duration, time.Duration) {
	vault := must(privacy.New(privacy.Config{Root: privacy.InsecureMemoryKey(), Store: s}))
	log := must(evidence.New(evidence.Config{LogSigner: newTestKey(7), Origin: origin, Store: s, Vault: vault}))
	ctx := t.Context()
	require.NoError(t, vault.Unlock(ctx, "acme"))
	run, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { _ = log.Run(run) })
	w := &world{t: t, ctx: ctx}
	pd := w.sixCommitments(t)
	var n atomic.Int64
	var wg sync.WaitGroup
	from, cpu := time.Now(), cpuTime()
	for k := range writers {
		wg.Go(func() {
			env, people := "", slices.Clone(pd)
			for j := range people { // of this writer
				people[j].Subject.ID = fmt.Sprintf("%s-%d", pd[j].Subject.ID, k)
			}
			for i := 0; time.Since(from) < length; i++ {
				if i%20 == 0 {
					env = fmt.Sprintf("%s-%d", storage.OldestFirst(time.Now()), k)
				}
				d := evidence.Draft{Tenant: "acme", Env: env, Type: "code.checked", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"}, Personal: people}
				err := storage.UpdateWith(ctx, s, &storage.UpdateOptions{Near: []storage.Key{{Tenant: "acme", Kind: "evidence.chain", ID: d.Env}}}, func(tx *storage.Tx) error {
					_, err := log.AppendTx(ctx, tx, d)
					return err
				})
				if !assert.NoError(t, err) {
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	end := time.Now()
	spent := cpuTime() - cpu
	for {
		cp, err := log.Checkpoint(ctx)
		require.NoError(t, err)
		if cp.Size >= uint64(n.Load()) || time.Since(end) > time.Minute {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	lag := time.Since(end)
	stop()
	background.Wait()
	return n.Load(), lag, spent
}

// TestPerfAudit measures a whole audit of a tenant: form, chain, leaves, tiles.
func TestPerfAudit(t *testing.T) {
	say := perf(t)
	w := newWorld(t, nil)
	pd := w.sixCommitments(t)
	const chains, each = 400, 50
	for i := range chains {
		for range each {
			must(w.log.Append(w.ctx, evidence.Draft{Tenant: "acme", Env: fmt.Sprintf("e%03d", i), Type: "code.checked", Actor: evidence.Actor{ID: "li", Role: "signer", Account: "li"}, Personal: pd}))
		}
	}
	for must(w.log.Sequence(w.ctx)) > 0 {
	}
	size := 0
	for e := range w.log.Events(w.ctx, "acme", "e000", 0) {
		size = len(e.Bytes())
	}
	for _, sm3 := range []bool{false, true} {
		type turn struct {
			f, spec, cost time.Duration
		}
		var turns []turn
		for range 9 { // floor and audit by turns, so that a busy machine slows both
			f, spec := hashFloor(size), hashFloor(specBytes)
			cpu := cpuTime()
			r, err := w.log.Audit(w.ctx, &evidence.AuditOptions{Tenant: "acme", WithoutVault: true, WithoutSM3: !sm3})
			require.NoError(t, err)
			require.Equal(t, evidence.Passed, r.Verdict, troubles(r))
			require.EqualValues(t, chains*each, r.Events)
			cost := (cpuTime() - cpu) / (chains * each)
			turns = append(turns, turn{(f + hashFloor(size)) / 2, (spec + hashFloor(specBytes)) / 2, cost})
		}
		slices.SortFunc(turns, func(a, b turn) int { return cmp.Compare(float64(a.cost)/float64(a.f), float64(b.cost)/float64(b.f)) })
		median := turns[len(turns)/2]
		id, what, target := "E3", "full audit, SHA-256", 3.5
		if sm3 {
			id, what, target = "E4", "full audit, with SM3", 11.7 // 150 000/s where F allows 500 000/s at 3.5
		}
		for _, floor := range []struct {
			of   string
			cost time.Duration
		}{{fmt.Sprintf("hashing their %d bytes", size), median.f}, {fmt.Sprintf("hashing %d bytes", specBytes), median.spec}} {
			ratio := float64(median.cost) / float64(floor.cost)
			say(id, what+" of events against "+floor.of, fmt.Sprintf("%s = %.0f/s/core", median.cost, 1/median.cost.Seconds()), floor.cost.String(), ratio, fmt.Sprintf("<= %.1f", target))
			assert.LessOrEqual(t, ratio, 2*target, what)
		}
	}
}

// TestPerfVerify measures bundles: 50 events, 10 parties, 3 tokens, digests only;
// and a contract of two signers with its documents.
func TestPerfVerify(t *testing.T) {
	say := perf(t)
	measure := func(b []byte, o *evidence.VerifyOptions) time.Duration {
		best := time.Hour
		for range 60 {
			start := time.Now()
			r, err := evidence.Verify(bytes.NewReader(b), int64(len(b)), o)
			best = min(best, time.Since(start))
			require.NoError(t, err)
			require.NotEqual(t, evidence.Failed, r.Verdict)
		}
		return best
	}
	show := func(what string, b []byte, o *evidence.VerifyOptions, ms float64) {
		best := measure(b, o)
		say("E5", fmt.Sprintf("verify %s, %d bytes", what, len(b)), best.String(), fmt.Sprintf("%gms", ms), best.Seconds()*1000/ms, "<= 1")
	}
	w, s := bigBundle(t)
	show("50 events, 10 parties, 3 tokens", w.export("e", &evidence.ExportOptions{DigestsOnly: true}), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}, 10)
	w, s = anchoredPair(t)
	show("two signers, their document, disclosures", w.export("nda-17", nil), &evidence.VerifyOptions{Keys: w.trust(s.trustLines())}, 10)
}

// TestProofSize holds the size of proofs with two signatures (A11). It needs no
// quiet machine.
func TestProofSize(t *testing.T) {
	t.Parallel()
	w, _ := anchoredWorld(t)
	w.envelope("e")
	w.anchor()
	cp := must(w.log.Checkpoint(w.ctx))
	second := cp.Note[bytes.Index(cp.Note, []byte("\n\n"))+2:] // a witness's line is 11 bytes of base64 longer
	note := append(bytes.Clone(cp.Note), strings.Replace(string(second), "\n", strings.Repeat("x", 11)+"\n", 1)...)
	for _, x := range []struct {
		leaves uint64
		levels int
		limit  int
	}{{1e3, 10, 900}, {1e6, 20, 1400}, {1e9, 30, 2000}} {
		b := evidence.FormatProof(x.leaves-1, make(tlog.RecordProof, x.levels), note)
		assert.LessOrEqual(t, len(b), x.limit)
		if os.Getenv("COUNTERSIGN_PERF") == "1" {
			fmt.Printf("PERF E6 proof at %.0e leaves: %d bytes floor %d ratio %.3f target <= 1\n", float64(x.leaves), len(b), x.limit, float64(len(b))/float64(x.limit))
		}
	}
}
