package evidence

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/countersign/countersign/privacy"
)

// ExportSubject writes all that is kept of a person, for the person (P17): a zip with
// subject.json, which is privacy.Vault.ExportSubject, and beside it the bundle of every
// envelope whose events hold commitments of theirs, as bundles/<envelope>.esev. Those
// name documents by digest and disclose what is of this person, and of nobody else.
// Envelopes whose id no file name can hold are named in hexadecimal, with "x-" before.
//
// The receipt is that of the vault, whose errors it fails with, besides those of
// [Log.Export]. What was written after an error is to be thrown away.
func (l *Log) ExportSubject(ctx context.Context, s privacy.Subject, w io.Writer) (privacy.Receipt, error) {
	var list []*source
	var about bytes.Buffer
	receipt, err := l.vault.ExportSubject(ctx, s, &about)
	if err != nil {
		return privacy.Receipt{}, err
	}
	list = append(list, sourceOf("subject.json", about.Bytes()))
	total := about.Len()
	for env, err := range l.vault.Envelopes(ctx, s) {
		if err != nil {
			return privacy.Receipt{}, err
		}
		var b bytes.Buffer
		_, err := l.Export(ctx, s.Tenant, env, &b, &ExportOptions{DigestsOnly: true, Why: privacy.PurposeRights,
			Disclose: func(d Disclosure) bool { return d.Subject == s }})
		if errors.Is(err, ErrNotFound) { // committed to in a commit that never was
			continue
		}
		if err != nil {
			return privacy.Receipt{}, fmt.Errorf("evidence: bundle of %q: %w", env, err)
		}
		if total += b.Len(); total > maxSubjectExport {
			return privacy.Receipt{}, ErrTooLarge
		}
		list = append(list, sourceOf("bundles/"+fileName(env)+".esev", b.Bytes()))
	}
	for _, x := range list {
		if err := x.measure(); err != nil {
			return privacy.Receipt{}, err
		}
	}
	if _, err := writeContainer(w, list); err != nil {
		return privacy.Receipt{}, fmt.Errorf("evidence: export of a subject: %w", err)
	}
	return receipt, nil
}

// maxSubjectExport bounds what is held in memory: some ten thousand envelopes.
const maxSubjectExport = 512 << 20

// fileName is an id as a part of an entry's name.
func fileName(id string) string {
	if strings.HasPrefix(id, "x-") || !validEntryName(id) || strings.ContainsAny(id, "/") {
		return "x-" + hex.EncodeToString([]byte(id))
	}
	return id
}
