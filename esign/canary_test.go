package esign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// A tapped store keeps all bytes that were ever written to it.
type tapped struct {
	storage.Store
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *tapped) Commit(ctx context.Context, batches []storage.Batch) ([]storage.Outcome, error) {
	s.mu.Lock()
	for _, b := range batches {
		for _, w := range b.Writes {
			fmt.Fprintf(&s.all, "%s/%s/%s %s\n", w.Key.Tenant, w.Key.Kind, w.Key.ID, w.Data)
		}
		for _, e := range b.Entries {
			fmt.Fprintf(&s.all, "%s %s\n", e.Stream.ID, e.Data)
		}
	}
	s.mu.Unlock()
	return s.Store.Commit(ctx, batches)
}

// An indiscreet messenger fails, and says whom it could not reach.
type indiscreet struct{}

func (indiscreet) Deliver(context.Context, esign.Notice) error {
	return errors.New("no device of 13800138001, 李小明")
}

// TestCanary_P02_P06: over a whole life, refusals included, no name, number,
// value or code is in any record, key, event, error or log; the documents and
// the vault's sealed values alone hold them.
func TestCanary_P02_P06_T33_NothingPersonalIsWritten(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	tap := &tapped{Store: w.store}
	var logged bytes.Buffer
	c := w.config(tap, w.blobs)
	c.Logger = slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Policy.Channels = map[esign.Channel]esign.ChannelPolicy{esign.ChannelApp: {Messenger: indiscreet{}}}
	svc, err := esign.New(c)
	require.NoError(t, err)
	ctx := t.Context()
	w.buy(svc, "hr")
	var said []string
	note := func(v any, err error) {
		said = append(said, fmt.Sprintf("%v %+v %#v", v, v, v))
		if b, jerr := json.Marshal(v); jerr == nil {
			said = append(said, string(b))
		}
		if err != nil {
			said = append(said, err.Error(), fmt.Sprintf("%+v", err))
		}
	}
	li, wang := w.invitee("li", 1, esign.ChannelApp), w.invitee("wang", 1, esign.ChannelSMS)
	mail, err := privacy.NewEmail("li.xiaoming@example.com")
	require.NoError(t, err)
	li.Contact.Email = mail
	d := w.draft(svc, "e1", li, wang)
	d.Fields = []esign.Field{{ID: "id-card", Document: "contract", Recipient: "li", Type: esign.FieldIDNumber, Page: 1, Required: true,
		Rect: [4]float64{50, 100, 250, 120}}}
	note(d, nil)
	note(svc.Create(ctx, actor("hr"), d))
	note(svc.Send(ctx, actor("hr"), esign.Send{ID: "s", Envelope: "e1"}))
	n, err := svc.Deliver(ctx)
	note(n, err)
	require.Error(t, err, "the messenger fails")
	note(svc.Open(ctx, actor("li"), esign.View{ID: "o", Envelope: "e1"}))
	values := []esign.FieldValue{{Field: "id-card", Value: "11010519491231002X"}}
	note(svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "bare", Envelopes: []string{"e1"}}))
	wrong := []esign.FieldValue{{Field: "id-card", Value: "110105194912310021"}}
	note(svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "wrong", Envelopes: []string{"e1"}, Values: wrong}))
	note(svc.Challenge(ctx, actor("li"), esign.Challenge{ID: "ask", Envelopes: []string{"e1"}, Values: values}))
	n, err = svc.Deliver(ctx)
	note(n, err)
	text, ok := w.inbox.Last(phones["li"])
	require.True(t, ok)
	code := string(text.Code())
	note(svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: "ask", Code: "999999"}))
	proof, err := svc.CheckCode(ctx, actor("li"), esign.Code{Challenge: "ask", Code: code})
	note(proof, err)
	require.NoError(t, err)
	sign := esign.Sign{ID: "sign", Envelope: "e1", Values: values, Intent: proof}
	note(svc.Sign(ctx, actor("li"), esign.Sign{ID: "bare", Envelope: "e1", Intent: proof}))
	done, err := svc.Sign(ctx, actor("li"), sign)
	note(done, err)
	require.NoError(t, err)
	again, err := svc.Sign(ctx, actor("li"), sign)
	require.NoError(t, err)
	assert.Equal(t, done, again)
	sign.Values = []esign.FieldValue{{Field: "id-card", Value: "110105194912310038"}}
	_, err = svc.Sign(ctx, actor("li"), sign)
	require.ErrorIs(t, err, esign.ErrIntentMismatch)
	note(svc.Decline(ctx, actor("wang"), esign.End{ID: "no", Envelope: "e1", Reason: "因为王天津说不行"}))
	n, err = svc.Deliver(ctx)
	note(n, err)
	note(svc.Get(ctx, actor("hr"), "e1"))
	running, stop := context.WithCancel(ctx)
	stop()
	note(nil, svc.Run(running))

	planted := []string{"李小明", "王天津", "13800138001", "13800138002", "+86138", "li.xiaoming@example.com", "11010519491231002X",
		"192.0.2.7", "session-of-li", "因为王天津说不行", hex.EncodeToString([]byte("李小明")), hex.EncodeToString([]byte("13800138001"))}
	for name, have := range map[string]string{"store": tap.all.String(), "log": logged.String(), "answers and errors": strings.Join(said, "\n")} {
		for _, p := range append(planted, `"`+code+`"`) {
			assert.NotContains(t, have, p, "%s", name)
		}
	}
	// Nor a plain digest of a request, from which a number could be guessed.
	sign.Values = values
	guess := storage.Intent(struct {
		Method, Account, Org string
		Request              any
	}{"sign", "li", "", sign})
	assert.NotContains(t, tap.all.String(), hex.EncodeToString(guess[:]))
	for _, v := range planted {
		sum := sha256.Sum256([]byte(v))
		assert.NotContains(t, tap.all.String(), hex.EncodeToString(sum[:]))
	}
	ids, err := w.blobs.List(ctx, "", 100)
	require.NoError(t, err)
	for _, id := range ids {
		for _, p := range planted {
			assert.NotContains(t, id, p)
		}
	}
}

// TestValues_Once: a field is filled once; an empty first value is no way past
// a required one.
func TestValues_TwiceIsRefused(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	svc := w.service()
	w.buy(svc, "hr")
	d := w.draft(svc, "e1", w.invitee("li", 1, esign.ChannelApp))
	d.Fields = []esign.Field{{ID: "f", Document: "contract", Recipient: "li", Type: esign.FieldText, Page: 1, Required: true,
		Rect: [4]float64{50, 100, 250, 120}}}
	_, err := svc.Create(t.Context(), actor("hr"), d)
	require.NoError(t, err)
	_, err = svc.Send(t.Context(), actor("hr"), esign.Send{ID: "s", Envelope: "e1"})
	require.NoError(t, err)
	_, err = svc.Open(t.Context(), actor("li"), esign.View{ID: "o", Envelope: "e1"})
	require.NoError(t, err)
	twice := []esign.FieldValue{{Field: "f"}, {Field: "f", Value: "x"}}
	_, err = svc.Challenge(t.Context(), actor("li"), esign.Challenge{ID: "c", Envelopes: []string{"e1"}, Values: twice})
	require.ErrorIs(t, err, esign.ErrField)
	_, err = svc.Sign(t.Context(), actor("li"), esign.Sign{ID: "x", Envelope: "e1", Values: twice})
	require.ErrorIs(t, err, esign.ErrField)
}
