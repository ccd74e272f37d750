// Package identity says who a signer is and whether they meant to sign.
package identity
