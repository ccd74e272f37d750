//go:build !unix

package quota_test

import "time"

var began = time.Now()

// spent is the time since the process began: not its own where others run.
func spent() time.Duration { return time.Since(began) }
