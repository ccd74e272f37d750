package pdf

// unlzw decodes /LZWDecode (ISO 32000-2 7.4.4): codes of 9 to 12 bits, high bit
// first, 256 clears the table, 257 ends the data. With early, the code length
// grows one code sooner than it must.
func unlzw(r *byteReader, early bool, most int64) ([]byte, error) {
	const (
		clearCode = 256
		endCode   = 257
		codes     = 4096
	)
	var (
		prefix [codes]uint16
		suffix [codes]byte
		length [codes]uint16 // of the string of a code
		out    []byte
		acc    uint32
		bits   uint
		width  = uint(9)
		next   = 258
		last   = -1
	)
	for i := range 256 {
		suffix[i] = byte(i)
		length[i] = 1
	}
	grow := 0
	if early {
		grow = 1
	}
	for {
		for bits < width {
			c, err := r.ReadByte()
			if err != nil {
				return out, sourceError(err) // many writers leave out the end code
			}
			acc = acc<<8 | uint32(c)
			bits += 8
		}
		bits -= width
		code := int(acc >> bits & (1<<width - 1))
		switch {
		case code == clearCode:
			width, next, last = 9, 258, -1
			continue
		case code == endCode:
			return out, nil
		case last < 0:
			if code > 255 {
				return out, malformed("lzw", -1, "code before its string")
			}
			out = append(out, byte(code))
			last = code
			continue
		case code > next || code == next && next >= codes:
			return out, malformed("lzw", -1, "code before its string")
		}
		n := int(length[last]) + 1
		if code < next {
			n = int(length[code])
		}
		if int64(len(out)+n) > most {
			return nil, tooLarge("lzw")
		}
		at := len(out)
		out = append(out, make([]byte, n)...)
		c := code
		i := at + n - 1
		if code == next { // the string of last and its own first byte
			c = last
			i--
		}
		for ; i >= at; i-- {
			out[i] = suffix[c]
			c = int(prefix[c])
		}
		if code == next {
			out[at+n-1] = out[at]
		}
		if next < codes {
			prefix[next] = uint16(last)
			suffix[next] = out[at]
			length[next] = length[last] + 1
			next++
		}
		if next+grow >= 1<<width && width < 12 {
			width++
		}
		last = code
	}
}
