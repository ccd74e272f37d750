module github.com/countersign/countersign/esign/pades/pkcs11

go 1.26.0

replace github.com/countersign/countersign => ../../..

require (
	github.com/ThalesGroup/crypto11 v1.5.0
	github.com/countersign/countersign v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/emmansun/gmsm v0.40.0 // indirect
	github.com/miekg/pkcs11 v1.1.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
)
