// Package seal draws what a signature looks like.
package seal
