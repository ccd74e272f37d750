// Package countersign is the root of an embeddable SDK for electronic signing
// (电子签名) in the Chinese legal setting. It holds no code: import the
// packages below it.
//
// # Start here
//
// Package [github.com/countersign/countersign/esign] composes the rest. Hand
// esign.New a store, a blob store, a source of signing keys, a root key for
// personal data, a key for the evidence log and, when you have them, an SMS
// gateway, a catalogue and a timestamp authority, and send contracts with its
// Service. Run
//
//	go run ./examples/quickstart
//
// to see one contract go through its whole life.
//
// # Packages
//
//	esign                 envelopes (签署流程): documents sent to signers in order; the Service
//	esign/pades           PDF signatures (PAdES): prepare, finish, apply, verify
//	esign/seal            what a signature looks like: seals (印章), names, text
//	esign/identity        real-name (实名) and intent (意愿) verification
//	esign/identity/devca  a development certificate authority; never for production
//	quota                 signing units: lots, holds, captures, releases
//	membership            plans, orders, terms, entitlements
//	evidence              event chains, bundles, offline verification (存证)
//	sms                   messages and one-time codes under the trade's rules
//	sms/aliyun            a gateway, as is sms/tencent; sms/httpgw is one by a mapping table
//	privacy               masked personal data, vault, consent, erasure
//	storage               the one interface by which a host wires its persistence
//	storage/boltstore     the embedded default: one file
//	storage/sqlstore      PostgreSQL, MySQL, MariaDB, SQLite, through database/sql
//	storage/observe       how often and how long a store is used, as log lines or variables
//
// Packages named *test help with tests: storage/storagetest is the suite every
// store must pass, sms/smstest that of gateways, esign/identity/identitytest that
// of providers.
//
// # Ids in comments
//
// An id in parentheses, such as (H18) or (D02), names a clause of the agreements
// that signing services work under, a decision or a rule: REQUIREMENTS.md says
// what each asks for, and the tests that prove it bear it in their names.
//
// # What the host must do
//
// Keep the keys it hands in; back up the store and the blobs together; call
// esign.Service.Run in at least one process; obtain the consents it declares;
// publish the notices its users accept.
//
// # What is not promised
//
// A code proves control of a telephone, not who holds it. Without a timestamp
// authority the time of signing is only claimed. What people typed into a
// contract is not attested to be true, and nothing here is legal advice.
//
// # Compatibility
//
// Before v1.0 a minor version may break the API; each break is a line in
// CHANGELOG.md that names the replacement. Stored records carry a schema
// version and are read by every later release. Signed documents and exported
// bundles of every release are verified by every later one.
package countersign
