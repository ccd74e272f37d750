package privacy

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"sync"
)

// maxKeptKeys bounds the subjects of a tenant whose evidence key is kept ready.
const maxKeptKeys = 4096

// A keyCache keeps evidence keys of subjects unwrapped and set up, for that costs
// more than sealing. It answers only to who holds the wrapped key, as the subject's
// record has it: a subject that was shredded has none, so nothing is found however
// long a key stays here. It goes with the tenant's keys; see [Vault.Lock].
type keyCache struct {
	mu sync.Mutex
	m  map[string]keptKey
}

type keptKey struct {
	wrapped []byte
	aead    cipher.AEAD
}

func (c *keyCache) get(subject string, wrapped []byte) cipher.AEAD {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.m[subject]; ok && bytes.Equal(k.wrapped, wrapped) {
		return k.aead
	}
	return nil
}

func (c *keyCache) put(subject string, wrapped []byte, a cipher.AEAD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]keptKey{}
	}
	for id := range c.m { // any will do: the hot ones come back
		if len(c.m) < maxKeptKeys {
			break
		}
		delete(c.m, id)
	}
	c.m[subject] = keptKey{bytes.Clone(wrapped), a}
}

func (c *keyCache) drop(subject string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, subject)
}

// evidenceKey is the evidence key of a subject, ready for use, of what its record
// has of it.
func (v *Vault) evidenceKey(keys *tenantKeys, s Subject, wrapped []byte) (cipher.AEAD, error) {
	if a := keys.kept.get(s.ID, wrapped); a != nil {
		return a, nil
	}
	key, err := v.suite.open(keys.kek, "ev", wrapped, subjectKeyAAD(s, "ev"))
	if err != nil {
		return nil, err
	}
	a, err := v.suite.aead(key)
	if err != nil {
		return nil, ErrKey
	}
	keys.kept.put(s.ID, wrapped, a)
	return a, nil
}

// forgetKeys drops what is kept of a subject whose keys were destroyed.
func (v *Vault) forgetKeys(s Subject) {
	if keys, err := v.tenant(s.Tenant); err == nil {
		keys.kept.drop(s.ID)
	}
}

// A place is where a subject stands in an envelope. It is no secret of the
// subject's, only dear to compute; each subject's last is kept.
type place struct {
	env   string
	alias [aliasSize]byte
	name  string // the alias in hexadecimal
}

type placeCache struct {
	mu sync.Mutex
	m  map[string]place
}

func (k *tenantKeys) place(subject, env string) place {
	c := &k.places
	c.mu.Lock()
	p, ok := c.m[subject]
	c.mu.Unlock()
	if ok && p.env == env {
		return p
	}
	sum := hmac256(k.alias, lp(lp(lp(make([]byte, 0, 192), "countersign/alias/v1"), env), subject))
	p = place{env: env}
	copy(p.alias[:], sum[:])
	p.name = hex.EncodeToString(p.alias[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]place{}
	}
	for id := range c.m { // as in a keyCache
		if len(c.m) < maxKeptKeys {
			break
		}
		delete(c.m, id)
	}
	c.m[subject] = p
	return p
}
