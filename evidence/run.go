package evidence

import (
	"context"
	"errors"
	"time"

	"github.com/countersign/countersign/storage"
)

const (
	runEvery    = 250 * time.Millisecond
	anchorEvery = time.Minute
	beatEvery   = time.Hour
	alarmAfter  = 15 * time.Minute
	maxBackoff  = 30 * time.Second

	logEnv = "log"
)

// Types on the chain "log" of the deployment.
const (
	TypeBeat  = "log.beat"  // the hourly heartbeat
	TypeAlarm = "log.alarm" // anchoring has failed for long
	// TypeRenewed tells how many evidence records were renewed.
	TypeRenewed = "evidence.renewed"
	// TypeAccess follows a heartbeat: where access logs of the vault end, of those that
	// grew since the last one.
	TypeAccess = "log.access"
)

// Run sequences events, anchors checkpoints and keeps the heartbeat until ctx
// ends, whose error it returns. What it starts ends before it does, and any number of
// processes may run it. Failures are logged and tried again, never returned.
//
// Checkpoints are anchored at once after a chain seal, else once a minute while
// the tree grows. When anchoring has failed for 15 minutes, an alarm event goes
// on the deployment's own chain.
func (l *Log) Run(ctx context.Context) error {
	var failing time.Time // since when anchoring fails
	var anchoredAt, alarmedAt, beatAt time.Time
	wait, due := runEvery, false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		var err error
		if now := l.now(); now.Sub(beatAt) >= time.Minute {
			if err = l.Beat(ctx); err == nil {
				beatAt = now
			}
		}
		did, serr := l.sequence(ctx, settled)
		err = errors.Join(err, serr)
		due = due || did.sealed
		if now := l.now(); len(l.anchors) > 0 && (due || now.Sub(anchoredAt) >= anchorEvery) {
			anchoredAt = now
			if _, aerr := l.Anchor(ctx); aerr != nil {
				err = errors.Join(err, aerr)
				if failing.IsZero() {
					failing = now
				}
				if now.Sub(failing) >= alarmAfter && now.Sub(alarmedAt) >= beatEvery {
					if l.say(ctx, TypeAlarm, map[string]any{"what": "anchor", "since": failing.UTC().Format(timeForm)}) == nil {
						alarmedAt = now
					}
				}
			} else {
				failing, due = time.Time{}, false
			}
		}
		switch {
		case err != nil && ctx.Err() == nil:
			l.log.ErrorContext(ctx, "evidence: background work", "error", err)
			wait = min(2*wait, maxBackoff)
		case did.more && did.events > 0:
			wait = 0 // more is waiting
		default:
			wait = runEvery
		}
		timer.Reset(wait)
	}
}

// Beat appends the heartbeat if the last one is an hour old: between two checkpoints
// never lies more, and a tail cut off the tree is missed. It says how large the tree
// is, whether the self-test passes, how far the log's clock was from that of the
// newest timestamp, and where the access logs of the vault end. [Log.Run] calls it.
func (l *Log) Beat(ctx context.Context) error {
	head, err := l.head(ctx)
	if err != nil {
		return err
	}
	n, err := l.newestAnchor(ctx)
	if err != nil {
		return err
	}
	beaten, err := storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (bool, error) {
		h, ok, err := chains.Get(tx, storage.Deployment, logEnv)
		if err != nil || ok && tx.Now(l.now).Sub(h.At) < beatEvery {
			return false, err
		}
		x := map[string]any{"size": head.Size, "root": head.Root.String(), "self_test": selfTest()}
		if n.Size > 0 {
			x["clock_offset_ms"] = n.Offset
		}
		_, err = l.append(tx, beat(TypeBeat, x))
		return err == nil, err
	})
	if err != nil || !beaten {
		return err
	}
	return l.tellAccesses(ctx)
}

func (l *Log) say(ctx context.Context, typ string, x map[string]any) error {
	_, err := storage.UpdateValue(ctx, l.store, func(tx *storage.Tx) (Ref, error) { return l.append(tx, beat(typ, x)) })
	return err
}

func beat(typ string, x map[string]any) *Draft {
	return &Draft{Tenant: storage.Deployment, Env: logEnv, Type: typ, Actor: Actor{ID: "log", Role: "system"}, X: x}
}
