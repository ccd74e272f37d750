package pdf

import "iter"

// maxOperands bounds the operands kept for one operator. A CMap has up to 300
// by its rules, and more in practice.
const maxOperands = 1 << 16

// Operators yields the operators of a content stream, or of a CMap, with their
// operands. The slice is used again for the next operator. What is no valid
// token is skipped, as viewers do; inline images appear as one operator "BI"
// without operands.
func Operators(b []byte) iter.Seq2[string, []Object] {
	return func(yield func(string, []Object) bool) {
		var operands []Object
		broken := 0 // tokens that do not end; each costs a look at all that follows
		for i := 0; broken < 100; {
			k, s, e, err := next(b, i, true)
			if err != nil { // an unclosed string: go on behind its opening
				broken++
				if i = max(s, i) + 1; i >= len(b) {
					return
				}
				continue
			}
			switch k {
			case kEOF:
				return
			case kArrayOpen, kDictOpen:
				end, err := skipComposite(b, e, k, true, 100)
				if err != nil {
					broken++
					i = e
					continue
				}
				e = end
			case kArrayClose, kDictClose:
				i = e
				continue
			case kKeyword:
				word := string(b[s:e])
				switch word {
				case "true", "false", "null":
				case "BI":
					if !yield(word, nil) {
						return
					}
					i = inlineImage(b, e)
					operands = operands[:0]
					continue
				default:
					if !yield(word, operands) {
						return
					}
					operands = operands[:0]
					i = e
					continue
				}
			}
			if len(operands) < maxOperands {
				operands = append(operands, parseValue(b, s, e, origin{}, -1, false))
			}
			i = e
		}
	}
}

// inlineImage returns the end of the inline image whose BI ends at i. Its data
// ends with EI between white space, followed by something that can be content.
func inlineImage(b []byte, i int) int {
	for {
		k, s, e, err := next(b, i, true)
		if err != nil || k == kEOF {
			return len(b)
		}
		i = e
		if k == kKeyword && string(b[s:e]) == "ID" {
			break
		}
	}
	for j := i; j+2 < len(b); j++ {
		if isSpace(b[j]) && b[j+1] == 'E' && b[j+2] == 'I' && (j+3 == len(b) || isSpace(b[j+3])) && printable(b[j+3:]) {
			return j + 3
		}
	}
	return len(b)
}

// printable reports whether the next bytes look like content rather than image
// data.
func printable(b []byte) bool {
	for _, c := range b[:min(len(b), 12)] {
		if c > 0x7e || c < ' ' && !isSpace(c) {
			return false
		}
	}
	return true
}
