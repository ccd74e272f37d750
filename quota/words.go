package quota

// words are the texts that records are full of. Each is stored as its place here;
// 0 stands before any other text. None is ever moved: further ones go to the end.
var words = [...]string{
	1: "",
	// books
	"issue", "available", "held", "used", "expired", "clawed", "transit",
	// entries
	"grant", "hold", "capture", "forfeit", "release", "lapse", "expire", "claw", "freeze", "thaw", "refund", "merge",
	"alias", "suspend", "resume",
	// lines
	"captured", "released", "forfeited", "lapsed",
	// kinds and units
	"sign", "ordinary", "realname.person", "realname.org", "idcheck.person", "idcheck.org", "sms", "sms.intl", "voice",
	"evidence.report",
	// channels
	"wechat",
	// causes
	"revoked", "closed", "removed", "satisfied", "declined", "invalidated", "not_started", "provider_fault",
	// sources
	"bought", "given", "adjusted", "returned",
	// alerts
	"low", "empty", "ending.30", "ending.7", "ending.1",
}

// wordTable has the places of words, by their hash.
var wordTable = func() (table [256]byte) {
	for n, s := range words[1:] {
		i := wordHash(s)
		for table[i] > 0 {
			i++
		}
		table[i] = byte(n + 1)
	}
	return table
}()

// wordHash tells most words apart.
func wordHash(s string) byte {
	if s == "" {
		return 0
	}
	return 3*byte(len(s)) + 11*s[0] + s[len(s)-1]
}

// putWord appends a text that is likely one of words.
func putWord[S ~string](b []byte, s S) []byte {
	for i := wordHash(string(s)); wordTable[i] > 0; i++ {
		if n := wordTable[i]; words[n] == string(s) {
			return append(b, n)
		}
	}
	return putText(append(b, 0), s)
}

// word reads what putWord wrote.
func (r *reader) word() string {
	if r.left() == 0 || int(r.b[r.at]) >= len(words) {
		r.fail()
		return ""
	}
	n := r.b[r.at]
	if r.at++; n == 0 {
		return r.text()
	}
	return words[n]
}
