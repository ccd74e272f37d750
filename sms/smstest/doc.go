// Package smstest supports tests of programs that send texts, and of gateways.
package smstest
