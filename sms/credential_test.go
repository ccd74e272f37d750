package sms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/countersign/countersign/sms"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
)

func TestCredentials(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	c, err := r.NewCredential(ctx, tenant, "shop", "op-1")
	require.NoError(t, err)
	assert.Len(t, string(c.Secret), 64, "S04 32 random bytes")
	request := func(c sms.Credential, body string) *http.Request {
		req := httptest.NewRequest(http.MethodPost, "/v1/texts?b=2&a=1", strings.NewReader(body))
		sms.SignRequest(req, c.ID, c.Secret, []byte(body), r.clock.Now())
		return req
	}
	req := request(c, "hello")
	who, err := r.Authenticate(ctx, req)
	require.NoError(t, err)
	assert.Equal(t, sms.Caller{Tenant: tenant, Account: "shop", Credential: c.ID}, who)
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body), "the body is put back")

	for name, edit := range map[string]func(*http.Request){
		"another method":    func(q *http.Request) { q.Method = http.MethodPut },
		"another path":      func(q *http.Request) { q.URL.Path = "/v1/other" },
		"another query":     func(q *http.Request) { q.URL.RawQuery = "a=1&b=3" },
		"another body":      func(q *http.Request) { q.Body = io.NopCloser(strings.NewReader("hallo")) },
		"a body too large":  func(q *http.Request) { q.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20+1))) },
		"another time":      func(q *http.Request) { q.Header.Set("Countersign-Timestamp", "1") },
		"another nonce":     func(q *http.Request) { q.Header.Set("Countersign-Nonce", "0123456789abcdef") },
		"an unknown key":    func(q *http.Request) { q.Header.Set("Countersign-Key", "ck-unknown") },
		"a key of bytes":    func(q *http.Request) { q.Header.Set("Countersign-Key", "ck-\x00") },
		"no signature":      func(q *http.Request) { q.Header.Del("Countersign-Signature") },
		"a wrong signature": func(q *http.Request) { q.Header.Set("Countersign-Signature", "v1="+strings.Repeat("0", 64)) },
	} {
		q := request(c, "hello")
		edit(q)
		_, err := r.Authenticate(ctx, q)
		require.ErrorIs(t, err, sms.ErrCredential, "S04 "+name)
	}
	q := request(c, "hello")
	q.URL.RawQuery = "a=1&b=2"
	_, err = r.Authenticate(ctx, q)
	require.NoError(t, err, "the order of a query says nothing")

	t.Run("S04 a request counts once", func(t *testing.T) {
		q := request(c, "x")
		var wg sync.WaitGroup
		var passed atomic.Int32
		for range 20 {
			wg.Go(func() {
				q := q.Clone(ctx)
				q.Body = io.NopCloser(strings.NewReader("x"))
				if _, err := r.Authenticate(ctx, q); err == nil {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, passed.Load())
	})
	t.Run("S04 five minutes of clock", func(t *testing.T) {
		early, late := request(c, "e"), request(c, "l")
		r.clock.add(5 * time.Minute)
		_, err := r.Authenticate(ctx, early)
		require.NoError(t, err)
		r.clock.add(time.Second)
		_, err = r.Authenticate(ctx, late)
		require.ErrorIs(t, err, sms.ErrCredential)
	})
	t.Run("S04 two secrets for rotation", func(t *testing.T) {
		second, err := r.NewCredential(ctx, tenant, "shop", "op-1")
		require.NoError(t, err)
		_, err = r.NewCredential(ctx, tenant, "shop", "op-1")
		require.ErrorIs(t, err, sms.ErrState)
		_, err = r.Authenticate(ctx, request(second, ""))
		require.NoError(t, err)
		require.NoError(t, r.Revoke(ctx, tenant, c.ID, "op-1"))
		require.NoError(t, r.Revoke(ctx, tenant, c.ID, "op-1"))
		_, err = r.Authenticate(ctx, request(c, ""))
		require.ErrorIs(t, err, sms.ErrCredential)
		require.ErrorIs(t, r.Revoke(ctx, "other", second.ID, "op-1"), sms.ErrNotFound)
		_, err = r.Authenticate(ctx, request(second, ""))
		require.NoError(t, err)

		t.Run("S12 a compromise is one call, and tells the uses", func(t *testing.T) {
			since := r.clock.Now()
			r.clock.add(time.Second)
			_, err := r.Authenticate(ctx, request(second, ""))
			require.NoError(t, err)
			used, err := r.ReportCompromise(ctx, tenant, "shop", "op-2", since.Add(time.Second))
			require.NoError(t, err)
			require.Len(t, used, 1)
			assert.Equal(t, second.ID, used[0].Who)
			assert.Equal(t, "/v1/texts", used[0].On)
			_, err = r.Authenticate(ctx, request(second, ""))
			require.ErrorIs(t, err, sms.ErrCredential)
		})
	})
	assert.NotContains(t, dump(t, r.store), string(c.Secret), "P06 in the vault alone")
	r.clock.add(10 * time.Minute)
	n, err := r.Sweep(ctx)
	require.NoError(t, err)
	assert.Positive(t, n)
	n, err = r.Sweep(ctx)
	require.NoError(t, err)
	assert.Zero(t, n)
}

func TestAudit(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	_, err := r.Order(ctx, sms.Order{Tenant: tenant, ID: "o-1", Act: sms.ActSuspend, Reason: "spam", By: "op-1"})
	require.NoError(t, err)
	_, err = r.Order(ctx, sms.Order{Tenant: tenant, ID: "o-2", Act: sms.ActResume, Reason: "cured", By: "op-1"})
	require.NoError(t, err)
	r.gw.Script(smstest.Misconfigured)
	_, err = r.Send(ctx, r.invite("m-1"))
	require.NoError(t, err)
	r.deliver(t)
	list := func(of sms.Stream) (out []string, err error) {
		for e, err := range r.Audit(ctx, tenant, of) {
			if err != nil {
				return out, err
			}
			out = append(out, e.Who+" "+e.What+" "+e.Why)
		}
		return out, nil
	}
	got, err := list(sms.OperatorLog)
	require.NoError(t, err)
	assert.Equal(t, []string{"op-1 order.suspend spam", "op-1 order.resume cured"}, got, "S26")
	got, err = list(sms.ComponentLog)
	require.NoError(t, err)
	assert.Equal(t, []string{"memory gateway.rest KEY"}, got)

	t.Run("S26 export needs a basis and a second person, and is logged", func(t *testing.T) {
		var out bytes.Buffer
		q := sms.AuditRequest{Tenant: tenant, Stream: sms.OperatorLog, By: "op-1", Approver: "op-1", Basis: "CSL-28"}
		require.ErrorIs(t, r.ExportAudit(ctx, q, &out), sms.ErrRequest)
		q.Approver = "legal"
		require.NoError(t, r.ExportAudit(ctx, q, &out))
		dec := json.NewDecoder(&out)
		n := 0
		for dec.More() {
			var e sms.AuditEntry
			require.NoError(t, dec.Decode(&e))
			n++
		}
		assert.Equal(t, 3, n)
	})
	t.Run("a changed or cut log is found", func(t *testing.T) {
		key := storage.Key{Tenant: tenant, Kind: "sms.audit", ID: string(sms.OperatorLog)}
		require.NoError(t, storage.Update(ctx, r.store, func(tx *storage.Tx) error {
			recs, err := tx.Get(key)
			if err != nil {
				return err
			}
			if _, err := tx.Append(key, []byte(`{"at":"2026-03-02T02:00:00Z","who":"x","what":"y"}`)); err != nil {
				return err
			}
			return tx.Put(key, bytes.Replace(recs[0].Data, []byte(`"seq":3`), []byte(`"seq":4`), 1), time.Time{})
		}))
		_, err := list(sms.OperatorLog)
		require.ErrorIs(t, err, storage.ErrCorrupt)
	})
}
