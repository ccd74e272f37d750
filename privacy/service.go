package privacy

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/storage"
)

// A ServiceEnd says how a tenant stands after its service ended (T47, T48).
type ServiceEnd struct {
	Ended time.Time // zero: the service runs
	Until Date      // last day on which everything is kept free and readable
	// Restricted: the days are over and nothing new is paid. Content is neither
	// searchable nor readable; authentication data stays answerable, as of any
	// Restricted subject.
	Restricted bool
}

type serviceRecord struct {
	Ended time.Time `json:"ended"`
}

var services = storage.Kind[serviceRecord]{Name: "privacy.service", Schema: 1}

const serviceID = "tenant"

// EndServiceTx takes note that a tenant's service ended at an instant; zero is
// the instant of the commit. From the end of [RuleService] on all its subjects
// count as Restricted. Nothing is erased by it. The first end stands until
// [Vault.ResumeServiceTx]. It fails with [ErrInvalid] for no tenant, or an end beyond
// the year 9999.
func (v *Vault) EndServiceTx(_ context.Context, tx *storage.Tx, tenant string, at time.Time) error {
	if !okID(tenant) || !okInstant(at) {
		return fmt.Errorf("%w: tenant or end of its service", ErrInvalid)
	}
	if _, ok, err := services.Get(tx, tenant, serviceID); err != nil || ok {
		return err
	}
	return services.Create(tx, tenant, serviceID, serviceRecord{Ended: instant(tx, at, v.now)})
}

// ResumeServiceTx takes note that a tenant is served again. It fails with
// [ErrInvalid] for no tenant.
func (v *Vault) ResumeServiceTx(_ context.Context, tx *storage.Tx, tenant string) error {
	if !okID(tenant) {
		return fmt.Errorf("%w: tenant", ErrInvalid)
	}
	if _, ok, err := services.Get(tx, tenant, serviceID); err != nil || !ok {
		return err
	}
	return services.Delete(tx, tenant, serviceID)
}

// ServiceTx is how a tenant stands at the instant of the commit.
func (v *Vault) ServiceTx(tx *storage.Tx, tenant string) (ServiceEnd, error) {
	rec, version, err := services.Peek(tx, tenant, serviceID)
	if err != nil || version == 0 {
		return ServiceEnd{}, err
	}
	from, basis := Earliest([]Rule{RuleService}, Facts{ServiceEnd: rec.Ended})
	return ServiceEnd{Ended: rec.Ended, Until: basis[0].Last, Restricted: !tx.Now(v.now).Before(from)}, nil
}
