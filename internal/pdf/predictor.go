package pdf

// predictor is what /Predictor of Flate and LZW asks for (ISO 32000-2 7.4.4.4).
type predictor struct {
	kind, colors, bits, columns int64
}

func (f filter) predictor() (predictor, error) {
	p := predictor{1, 1, 8, 1}
	for _, e := range []struct {
		key Name
		v   *int64
	}{{"Predictor", &p.kind}, {"Colors", &p.colors}, {"BitsPerComponent", &p.bits}, {"Columns", &p.columns}} {
		if f.doc == nil {
			if v, ok := f.parms.Get(e.key).(Int); ok {
				*e.v = int64(v)
			}
			continue
		}
		v, err := f.doc.LookupInt(f.parms, e.key, *e.v)
		if err != nil {
			return p, err
		}
		*e.v = v
	}
	return p, nil
}

// undo reverses the prediction in place.
func (p predictor) undo(b []byte) ([]byte, error) {
	if p.kind < 2 {
		return b, nil
	}
	switch p.bits {
	case 1, 2, 4, 8, 16:
	default:
		return nil, malformed("predictor", -1, "bits per component out of range")
	}
	if p.colors < 1 || p.colors > 256 || p.columns < 1 || p.columns > 1<<28 {
		return nil, malformed("predictor", -1, "colours or columns out of range")
	}
	row := int((p.colors*p.bits*p.columns + 7) / 8)
	pixel := int(max(1, p.colors*p.bits/8))
	switch {
	case p.kind == 2:
		p.tiff(b, row)
		return b, nil
	case p.kind >= 10 && p.kind <= 15:
		return png(b, row, pixel)
	}
	return nil, malformed("predictor", -1, "unknown predictor")
}

func (p predictor) tiff(b []byte, row int) {
	colors := int(p.colors)
	for ; len(b) > 0; b = b[min(row, len(b)):] {
		line := b[:min(row, len(b))]
		switch p.bits {
		case 8:
			for i := colors; i < len(line); i++ {
				line[i] += line[i-colors]
			}
		case 16:
			for i := 2 * colors; i+1 < len(line); i += 2 {
				v := uint16(line[i])<<8 | uint16(line[i+1])
				v += uint16(line[i-2*colors])<<8 | uint16(line[i-2*colors+1])
				line[i], line[i+1] = byte(v>>8), byte(v)
			}
		default:
			bits := uint(p.bits)
			mask := byte(1<<bits - 1)
			at := func(k int) (int, uint) {
				bit := uint(k) * bits
				return int(bit / 8), 8 - bits - bit%8
			}
			for k := colors; k < len(line)*8/int(bits); k++ {
				i, s := at(k)
				j, t := at(k - colors)
				v := (line[i]>>s + line[j]>>t) & mask
				line[i] = line[i]&^(mask<<s) | v<<s
			}
		}
	}
}

// png undoes rows that begin with their filter type. A last row may be short.
func png(b []byte, row, pixel int) ([]byte, error) {
	var prev []byte
	out := b[:0]
	for len(b) > 0 {
		kind := b[0]
		line := b[1:min(row+1, len(b))]
		b = b[1+len(line):]
		at := len(out)
		out = append(out, line...) // moves towards the front, never past what is read
		line = out[at:]
		switch kind {
		case 0:
		case 1:
			for i := pixel; i < len(line); i++ {
				line[i] += line[i-pixel]
			}
		case 2:
			for i := range line[:min(len(line), len(prev))] {
				line[i] += prev[i]
			}
		case 3:
			for i := range line {
				var left, up int
				if i >= pixel {
					left = int(line[i-pixel])
				}
				if i < len(prev) {
					up = int(prev[i])
				}
				line[i] += byte((left + up) / 2)
			}
		case 4:
			for i := range line {
				var left, up, corner int
				if i >= pixel {
					left = int(line[i-pixel])
				}
				if i < len(prev) {
					up = int(prev[i])
					if i >= pixel {
						corner = int(prev[i-pixel])
					}
				}
				line[i] += byte(paeth(left, up, corner))
			}
		default:
			return out, malformed("predictor", -1, "unknown row filter")
		}
		prev = line
	}
	return out, nil
}

func paeth(a, b, c int) int {
	p := a + b - c
	pa, pb, pc := abs(p-a), abs(p-b), abs(p-c)
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
