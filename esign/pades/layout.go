package pades

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/pdf"
)

// SubFilters of the signatures we write.
const (
	subFilterCAdES  = "ETSI.CAdES.detached"
	subFilterPKCS7  = "adbe.pkcs7.detached"
	subFilterSHA1   = "adbe.pkcs7.sha1"
	subFilterStamp  = "ETSI.RFC3161"
	handler         = "Adobe.PPKLite"
	signaturesExist = 1
	appendOnly      = 2
)

// rangeRoom is "[0 " and three numbers of up to 20 digits (W3).
const rangeRoom = len("[0 ") + 3*20 + len("  ]")

// container is the signature dictionary of a revision in the making: its two
// placeholders are known by where they were laid out, never searched for.
type container struct {
	byteRange, contents pdf.Hole
}

// reserve makes room for a CMS of size bytes.
func (c *container) reserve(size int) {
	c.byteRange.Bytes = bytes.Repeat([]byte{' '}, rangeRoom)
	copy(c.byteRange.Bytes, "[0 0 0 0")
	c.byteRange.Bytes[rangeRoom-1] = ']'
	c.contents.Bytes = bytes.Repeat([]byte{'0'}, 2*size+2)
	c.contents.Bytes[0] = '<'
	c.contents.Bytes[2*size+1] = '>'
}

// laidOut is a revision whose byte range is set and whose Contents is empty.
type laidOut struct {
	start     int64 // size of the document before it
	increment []byte
	byteRange [4]int64
}

// build lays the update out and writes the byte range into its place.
func (c *container) build(u *pdf.Update) (l laidOut, err error) {
	inc, err := u.Build()
	if err != nil {
		return l, err
	}
	l = laidOut{start: inc.Start, increment: inc.Bytes}
	gap, end := c.contents.Offset, c.contents.Offset+int64(len(c.contents.Bytes))
	l.byteRange = [4]int64{0, gap, end, inc.Size - end}
	text := append(make([]byte, 0, rangeRoom+20), "[0 "...)
	text = strconv.AppendInt(text, gap, 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, end, 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, inc.Size-end, 10)
	at := c.byteRange.Offset - inc.Start
	if len(text) > rangeRoom-1 || at < 0 || at+int64(rangeRoom) > int64(len(inc.Bytes)) {
		return l, errors.New("byte range does not fit its place")
	}
	copy(inc.Bytes[at:], text)
	return l, nil
}

// gap returns where the Contents token stands in the increment.
func (l laidOut) gap() (from, to int64) {
	return l.byteRange[1] - l.start, l.byteRange[2] - l.start
}

// pdfDate writes a time as a date string in UTC.
func pdfDate(t time.Time) pdf.String {
	return pdf.String{B: t.UTC().AppendFormat(make([]byte, 0, 24), "D:20060102150405+00'00'")}
}

// parseDate reads a date string; the parts after the year may be missing.
func parseDate(s string) (time.Time, error) {
	bad := fmt.Errorf("no date: %.40q", s)
	if len(s) >= 2 && s[:2] == "D:" {
		s = s[2:]
	}
	parts := [6]int{0, 1, 1, 0, 0, 0}
	widths := [6]int{4, 2, 2, 2, 2, 2}
	i := 0
	for ; i < 6 && len(s) >= widths[i] && s[0] >= '0' && s[0] <= '9'; i++ {
		n, err := strconv.Atoi(s[:widths[i]])
		if err != nil {
			return time.Time{}, bad
		}
		parts[i] = n
		s = s[widths[i]:]
	}
	if i == 0 {
		return time.Time{}, bad
	}
	zone := time.UTC
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign := 1
		if s[0] == '-' {
			sign = -1
		}
		digits := bytes.ReplaceAll([]byte(s[1:]), []byte("'"), nil)
		for len(digits) < 4 {
			digits = append(digits, '0')
		}
		h, err1 := strconv.Atoi(string(digits[:2]))
		m, err2 := strconv.Atoi(string(digits[2:4]))
		if err1 != nil || err2 != nil {
			return time.Time{}, bad
		}
		zone = time.FixedZone("", sign*(h*3600+m*60))
	}
	t := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], 0, zone)
	if int(t.Month()) != parts[1] || t.Day() != parts[2] {
		return time.Time{}, bad
	}
	return t.UTC(), nil
}
