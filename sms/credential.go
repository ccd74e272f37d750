package sms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/storage"
)

// Credentials are for hosts that resell sending: a client signs each request to
// the host with the secret of its account (S04).

const (
	maxLive     = 2 // secrets of an account, for rotation
	clockSkew   = 5 * time.Minute
	nonceLife   = 10 * time.Minute
	maxBody     = 1 << 20
	headerKey   = "Countersign-Key"
	headerTime  = "Countersign-Timestamp"
	headerNonce = "Countersign-Nonce"
	headerSum   = "Countersign-Signature"
)

// A Credential is the secret of an account at the interface. Secret is shown
// once, when it is made.
type Credential struct {
	ID      string
	Secret  Secret
	Account string
	Made    time.Time
	Revoked time.Time
}

type credentialRow struct {
	Account string      `json:"account"`
	Secret  privacy.Ref `json:"secret"`
	Made    time.Time   `json:"made"`
	Revoked time.Time   `json:"revoked,omitzero"`
}

// liveCredentials lists an account's, newest last.
type liveCredentials struct {
	IDs []string `json:"ids"`
}

type nonceRow struct {
	Until time.Time `json:"until"`
	Try   string    `json:"try"` // the call that used it
}

var (
	credentials  = storage.Kind[credentialRow]{Name: "sms.credential", Schema: 1}
	accountKeys  = storage.Kind[liveCredentials]{Name: "sms.credential.account", Schema: 1}
	credentialOf = storage.Kind[submission]{Name: "sms.credential.index", Schema: 1} // tenant by key id
	nonces       = storage.Kind[nonceRow]{Name: "sms.nonce", Schema: 1, Due: func(n nonceRow) time.Time { return n.Until }}
)

// NewCredential makes a secret for an account, 32 random bytes. An account has
// two at most, so that it can change from one to the other; a third is
// [ErrState] until one is revoked.
func (s *Service) NewCredential(ctx context.Context, tenant, account, by string) (Credential, error) {
	if account == "" || len(account) > 64 || by == "" || len(by) > 64 {
		return Credential{}, badRequest("account and by of 1 to 64 bytes")
	}
	if err := s.unlock(ctx, tenant); err != nil {
		return Credential{}, err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	c := Credential{ID: "ck-" + strings.ToLower(rand.Text()), Secret: Secret(hex.EncodeToString(secret)), Account: account}
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		c.Made = tx.Now(s.now)
		live, _, err := accountKeys.Get(tx, tenant, account)
		if err != nil {
			return err
		}
		if slices.Contains(live.IDs, c.ID) {
			return nil // this very call, whose answer was lost
		}
		if len(live.IDs) >= maxLive {
			return fmt.Errorf("%w: two secrets are live", ErrState)
		}
		text, err := privacy.NewText(string(c.Secret))
		if err != nil {
			return err
		}
		ref, err := s.vault.PutTx(ctx, tx, privacy.Subject{Tenant: tenant, ID: c.ID}, "sms_secret", text)
		if err != nil {
			return fmt.Errorf("sms: credential: %w", err)
		}
		live.IDs = append(live.IDs, c.ID)
		if err := accountKeys.Put(tx, tenant, account, live); err != nil {
			return err
		}
		if err := credentials.Create(tx, tenant, c.ID, credentialRow{Account: account, Secret: ref, Made: c.Made}); err != nil {
			return err
		}
		if err := credentialOf.Create(tx, storage.Deployment, c.ID, submission{Tenant: tenant, ID: c.ID}); err != nil {
			return err
		}
		return s.audit(tx, tenant, OperatorLog, AuditEntry{Who: by, What: "credential.made", On: c.ID})
	})
	if err != nil {
		return Credential{}, err
	}
	return c, nil
}

// Revoke ends one secret at once. Revoking it again changes nothing. It fails with
// [ErrNotFound], and with [ErrRequest] without by.
func (s *Service) Revoke(ctx context.Context, tenant, id, by string) error {
	if by == "" || len(by) > 64 {
		return badRequest("by of 1 to 64 bytes")
	}
	return storage.Update(ctx, s.store, func(tx *storage.Tx) error { return s.revoke(tx, tenant, id, by, "") })
}

func (s *Service) revoke(tx *storage.Tx, tenant, id, by, why string) error {
	if tenant == "" || tenant == storage.Deployment || id == "" || len(id) > 64 {
		return ErrNotFound
	}
	c, ok, err := credentials.Get(tx, tenant, id)
	if err != nil || !ok {
		return orNotFound(err)
	}
	if !c.Revoked.IsZero() {
		return nil
	}
	c.Revoked = tx.Now(s.now)
	if err := credentials.Put(tx, tenant, id, c); err != nil {
		return err
	}
	live, _, err := accountKeys.Get(tx, tenant, c.Account)
	if err != nil {
		return err
	}
	live.IDs = slices.DeleteFunc(live.IDs, func(x string) bool { return x == id })
	if err := accountKeys.Put(tx, tenant, c.Account, live); err != nil {
		return err
	}
	return s.audit(tx, tenant, OperatorLog, AuditEntry{Who: by, What: "credential.revoked", On: id, Why: why})
}

// ReportCompromise revokes every secret of an account in one call (S12) and
// returns what they were used for since an instant. It fails with [ErrRequest], or
// with [storage.ErrCorrupt] where the log was changed: the secrets are revoked all
// the same.
func (s *Service) ReportCompromise(ctx context.Context, tenant, account, by string, since time.Time) ([]AuditEntry, error) {
	if account == "" || len(account) > 64 || by == "" || len(by) > 64 {
		return nil, badRequest("account and by of 1 to 64 bytes")
	}
	err := storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		live, _, err := accountKeys.Get(tx, tenant, account)
		if err != nil {
			return err
		}
		for _, id := range slices.Clone(live.IDs) {
			if err := s.revoke(tx, tenant, id, by, "compromised"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var used []AuditEntry
	for e, err := range s.Audit(ctx, tenant, ClientLog) {
		if err != nil {
			return nil, err
		}
		if e.At.Before(since) {
			continue
		}
		c, err := s.credential(ctx, tenant, e.Who)
		if err != nil {
			return nil, err
		}
		if c.Account == account {
			used = append(used, e)
		}
	}
	return used, nil
}

func (s *Service) credential(ctx context.Context, tenant, id string) (credentialRow, error) {
	recs, err := s.store.Get(ctx, []storage.Key{credentials.Key(tenant, id)})
	if err != nil || recs[0].Version == 0 {
		return credentialRow{}, orNotFound(err)
	}
	return credentials.Decode(recs[0])
}

// A Caller is who a signed request comes from.
type Caller struct{ Tenant, Account, Credential string }

// Authenticate checks the signature of a client's request and puts the call on
// the client log. It reads the body, at most 1 MiB, and puts it back. A nonce
// counts once. Whatever is wrong is [ErrCredential]; any other error denies
// too.
func (s *Service) Authenticate(ctx context.Context, r *http.Request) (Caller, error) {
	id, nonce := r.Header.Get(headerKey), r.Header.Get(headerNonce)
	unix, err := strconv.ParseInt(r.Header.Get(headerTime), 10, 64)
	sum, ok := strings.CutPrefix(r.Header.Get(headerSum), "v1=")
	if err != nil || !ok || len(id) == 0 || len(id) > 64 || len(nonce) < 16 || len(nonce) > 64 {
		return Caller{}, ErrCredential
	}
	now := s.now()
	if d := now.Sub(time.Unix(unix, 0)); d > clockSkew || d < -clockSkew {
		return Caller{}, ErrCredential
	}
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1)); err != nil || len(body) > maxBody {
			return Caller{}, ErrCredential
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	recs, err := s.store.Get(ctx, []storage.Key{credentialOf.Key(storage.Deployment, id)})
	if errors.Is(err, storage.ErrKey) {
		return Caller{}, ErrCredential
	}
	if err != nil {
		return Caller{}, fmt.Errorf("sms: credential: %w", err)
	}
	if recs[0].Version == 0 {
		return Caller{}, ErrCredential
	}
	owner, err := credentialOf.Decode(recs[0])
	if err != nil {
		return Caller{}, err
	}
	if err := s.unlock(ctx, owner.Tenant); err != nil {
		return Caller{}, err
	}
	caller := Caller{Tenant: owner.Tenant, Credential: id}
	try := rand.Text()
	err = storage.Update(ctx, s.store, func(tx *storage.Tx) error {
		c, ok, err := credentials.Get(tx, owner.Tenant, id)
		if err != nil {
			return err
		}
		if !ok || !c.Revoked.IsZero() {
			return ErrCredential
		}
		val, err := s.vault.RevealTx(s.as(ctx, owner.Tenant), tx, c.Secret, privacy.PurposeSecurity)
		if err != nil {
			return fmt.Errorf("sms: credential: %w", err)
		}
		secret, err := val.Reveal(ctx, privacy.PurposeSecurity)
		if err != nil {
			return fmt.Errorf("sms: credential: %w", err)
		}
		if !same(Secret(sum), requestSum(secret, r.Method, r.URL, body, unix, nonce)) {
			return ErrCredential
		}
		nid := storage.JoinID(id, nonce)
		seen, ok, err := nonces.Get(tx, owner.Tenant, nid)
		if err != nil {
			return err
		}
		if ok && seen.Try == try {
			return nil // this very call, whose answer was lost
		}
		if ok {
			return ErrCredential
		}
		if err := nonces.Create(tx, owner.Tenant, nid, nonceRow{Until: tx.Now(s.now).Add(nonceLife), Try: try}); err != nil {
			return err
		}
		caller.Account = c.Account
		return s.audit(tx, owner.Tenant, ClientLog, AuditEntry{Who: id, What: r.Method, On: short(r.URL.Path)})
	})
	if err != nil {
		return Caller{}, err
	}
	return caller, nil
}

func short(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}

// requestSum covers all of a request that matters: method, path, query in the
// order of its names, digest of the body, time, nonce.
func requestSum(secret, method string, u *url.URL, body []byte, unix int64, nonce string) Secret {
	m := hmac.New(sha256.New, []byte(secret))
	digest := sha256.Sum256(body)
	m.Write([]byte("countersign/request/v1"))
	for _, part := range []string{method, u.EscapedPath(), u.Query().Encode(), string(digest[:]), strconv.FormatInt(unix, 10), nonce} {
		lp(m.Write, part)
	}
	return Secret(hex.EncodeToString(m.Sum(nil)))
}

// SignRequest is the client's side of [Service.Authenticate]: it sets the four
// Countersign headers. body is what the request will carry.
func SignRequest(r *http.Request, id string, secret Secret, body []byte, now time.Time) {
	nonce := rand.Text()
	r.Header.Set(headerKey, id)
	r.Header.Set(headerTime, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(headerNonce, nonce)
	r.Header.Set(headerSum, "v1="+string(requestSum(string(secret), r.Method, r.URL, body, now.Unix(), nonce)))
}
