// Package smstest supports tests of programs that send texts, and of gateways.
//
// [Gateway] keeps texts in memory and fails on demand; [InsecureConfig] makes a
// configuration around it with approved wordings ([Catalogue]). [Run] checks an
// adapter's promises against a fake provider on this machine: honest
// dispositions, one request per submission, nothing personal in errors.
//
// Nothing here sends. The pepper of InsecureConfig can be read by everybody:
// codes derived from it protect nothing.
package smstest
