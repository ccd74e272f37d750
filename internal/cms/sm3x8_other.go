//go:build !amd64 || purego

package cms

const sm3Wide = false

var sm3Constants [64][8]uint32

func sm3Block8(*[8][8]uint32, *[68][8]uint32, *[64][8]uint32) { panic("cms: not on this machine") }
