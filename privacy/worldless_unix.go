//go:build !windows

package privacy

// worldless: the file system has no permission bits worth reading.
const worldless = false
