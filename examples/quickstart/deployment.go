package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign/countersign/esign"
	"github.com/countersign/countersign/esign/identity/devca"
	"github.com/countersign/countersign/evidence"
	"github.com/countersign/countersign/membership"
	"github.com/countersign/countersign/privacy"
	"github.com/countersign/countersign/quota"
	"github.com/countersign/countersign/sms/smstest"
	"github.com/countersign/countersign/storage"
	"github.com/countersign/countersign/storage/boltstore"
)

// A deployment is what a host brings: a store, blobs, keys, a certificate and
// timestamp authority, a gateway for texts, a catalogue.
type deployment struct {
	dir   string
	now   func() time.Time
	store *boltstore.Store
	ca    *devca.CA
	texts *smstest.Gateway
	svc   *esign.Service
}

// deploy opens what the folder holds, or makes it.
func deploy(dir string, now func() time.Time) (*deployment, error) {
	d := &deployment{dir: dir, now: now, texts: new(smstest.Gateway)}
	err := d.whole()
	if err != nil {
		return nil, err
	}
	if d.ca, err = openCA(d.path("authority.pem"), now); err != nil {
		return nil, err
	}
	logKey, err := openLogKey(d.path("log.key"))
	if err != nil {
		return nil, err
	}
	root, err := privacy.OpenFileKey(d.path("vault.key"))
	if err != nil {
		return nil, err
	}
	blobs, err := storage.OpenDirBlobs(d.path("blobs"))
	if err != nil {
		return nil, err
	}
	if d.store, err = boltstore.Open(d.path("countersign.db"), nil); err != nil {
		return nil, err
	}
	d.svc, err = esign.New(esign.Config{
		Store:      d.store,
		Blobs:      blobs,
		Keys:       d,
		TSA:        d.ca,
		SMS:        smstest.InsecureConfig(nil, nil, d.texts),
		Privacy:    privacy.Config{Root: root},
		Evidence:   evidence.Config{LogSigner: logKey, Origin: "quickstart.example/log"},
		Membership: membership.Config{Catalogue: catalogue()},
		Policy: esign.Policy{
			Channels: map[esign.Channel]esign.ChannelPolicy{esign.ChannelWeChat: {Refundable: true}},
			Sender:   func(string, esign.Party) string { return "云杉示例贸易有限公司" },
		},
		Now: now,
	})
	if err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	return d, nil
}

// whole refuses a folder with a store whose keys are gone: new ones would fit
// nothing in it, and would replace the roots that its files verify under.
func (d *deployment) whole() error {
	info, err := os.Stat(d.path("countersign.db"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"authority.pem", "log.key", "vault.key"} {
		if _, err := os.Stat(d.path(name)); err != nil {
			return fmt.Errorf("the folder is damaged, use another: %w", err)
		}
	}
	return nil
}

func (d *deployment) path(name string) string { return filepath.Join(d.dir, name) }

func (d *deployment) close() { _ = d.store.Close() }

// Key implements esign.KeySource: a key and a development certificate for each
// signer, made when it signs. A host asks its certificate authority instead,
// and keeps keys in an HSM.
func (d *deployment) Key(ctx context.Context, r esign.KeyRequest) (crypto.Signer, []*x509.Certificate, error) {
	key, chain, err := d.ca.NewSigner(ctx, people[r.Subject.ID].latin)
	if err != nil {
		return nil, nil, err
	}
	return key, chain, saveCA(d.path("authority.pem"), d.ca)
}

// catalogue sells one package: ten signing units for a year, 99 yuan with 6 %
// tax inside.
func catalogue() *membership.Catalogue {
	return &membership.Catalogue{
		Items: []membership.Item{{ID: "sign-10", Version: 1, Kind: membership.Package, Title: "10 signing units", Term: quota.Term{Years: 1},
			Lots: []membership.LotSpec{{Unit: quota.UnitSign, Units: 10}}}},
		Prices: []membership.Price{{Item: membership.ItemRef{ID: "sign-10"}, Money: membership.Money{Amount: 9900, Currency: "CNY"},
			TaxBps: 600, Inclusive: true}},
	}
}

func openCA(path string, now func() time.Time) (*devca.CA, error) {
	o := &devca.Options{Now: now}
	b, err := os.ReadFile(path)
	if err == nil {
		return devca.RestoreInsecure(b, o)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ca, err := devca.NewInsecure(o)
	if err != nil {
		return nil, err
	}
	return ca, saveCA(path, ca)
}

func saveCA(path string, ca *devca.CA) error {
	b, err := ca.MarshalPEM()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// openLogKey reads the Ed25519 key that signs the evidence log, or makes one.
func openLogKey(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New(path + ": not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New(path + ": not an Ed25519 key")
	}
	return ed, nil
}
