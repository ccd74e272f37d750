// Package sms sends texts and checks one-time codes.
package sms
