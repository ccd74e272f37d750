package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
)

// crypt is the standard security handler of a document whose password is known
// (ISO 32000-2 7.6).
type crypt struct {
	ref     Ref // of the encryption dictionary, zero if direct
	v, r    int64
	key     []byte
	strings cryptMethod
	streams cryptMethod
	filters map[Name]cryptMethod // /CF
	meta    bool                 // /EncryptMetadata
	from    keyInput             // what the key was derived from
}

type cryptMethod uint8

const (
	methodNone cryptMethod = iota
	methodRC4
	methodAES128
	methodAES256
)

func unsupported(what string) error {
	return &Error{Code: CodeEncryption, Op: "encrypt", Offset: -1, Err: errors.New(what)}
}

// openCrypt reads the encryption dictionary and finds the key.
func (d *Doc) openCrypt(password string) error {
	e := d.trailer.Get("Encrypt")
	if e == nil {
		return nil
	}
	ref, _ := e.(Ref)
	o, err := d.Resolve(e)
	if err != nil {
		return err
	}
	dict, ok := o.(*Dict)
	if !ok {
		return malformed("encrypt", -1, "/Encrypt is no dictionary")
	}
	c := &crypt{ref: ref, meta: true}
	if f, err := d.LookupName(dict, "Filter"); err != nil {
		return err
	} else if f != "Standard" {
		return unsupported("security handler is not the standard one")
	}
	if t := d.trailer.Get("AuthCode"); t != nil { // ISO/TS 32004
		return unsupported("integrity protection of ISO/TS 32004")
	}
	num := func(key Name, def int64) int64 {
		v, e := d.LookupInt(dict, key, def)
		if e != nil && err == nil {
			err = e
		}
		return v
	}
	c.v, c.r = num("V", 0), num("R", 0)
	perms := int32(num("P", 0))
	bits, stated := num("Length", 40), int64(0)
	if err != nil {
		return err
	}
	if b, ok := dict.Get("EncryptMetadata").(Bool); ok {
		c.meta = bool(b)
	}
	switch {
	case c.v == 1 && (c.r == 2 || c.r == 3):
		bits = 40
		c.strings, c.streams = methodRC4, methodRC4
	case c.v == 2 && (c.r == 2 || c.r == 3):
		c.strings, c.streams = methodRC4, methodRC4
	case c.v == 4 && c.r == 4:
		stated, bits = bits, 128
		err = c.cryptFilters(d, dict)
	case c.v == 5 && (c.r == 5 || c.r == 6):
		err = c.cryptFilters(d, dict)
	default:
		return unsupported("unknown version of the standard security handler")
	}
	if err != nil {
		return err
	}
	if bits < 40 && bits >= 5 && bits <= 16 { // counted in bytes by some
		bits *= 8
	}
	if bits < 40 || bits > 128 || bits%8 != 0 {
		bits = 128
		if c.v == 1 {
			bits = 40
		}
	}
	in, err := d.keyInput(dict, int(bits/8))
	if err != nil {
		return err
	}
	in.r, in.perms, in.meta = c.r, perms, c.meta
	c.from = in
	if h := d.hint; h != nil && h.from.same(in) { // another view of a document that is open
		c.key = h.key
	} else {
		c.key = in.find(password)
	}
	if c.key == nil && stated >= 40 && stated < 128 { // V 4 means 128 bits, but not to all writers
		in.n = int(stated / 8)
		c.key = in.find(password)
	}
	if c.key == nil {
		return &Error{Code: CodePassword, Op: "encrypt", Offset: -1}
	}
	d.crypt = c
	d.cache.objects = store[cached]{most: d.cache.objects.most} // what was loaded before was not decrypted
	d.cache.streams = store[*objstm]{most: d.cache.streams.most}
	return nil
}

// cryptFilters reads /CF, /StmF and /StrF.
func (c *crypt) cryptFilters(d *Doc, dict *Dict) error {
	cf, _, err := d.LookupDict(dict, "CF")
	if err != nil {
		return err
	}
	c.filters = make(map[Name]cryptMethod)
	for name := range cf.All() {
		f, _, err := d.LookupDict(cf, name)
		if err != nil {
			return err
		}
		cfm, err := d.LookupName(f, "CFM")
		if err != nil {
			return err
		}
		switch cfm {
		case "", "None":
			c.filters[name] = methodNone
		case "V2":
			c.filters[name] = methodRC4
		case "AESV2":
			c.filters[name] = methodAES128
		case "AESV3":
			c.filters[name] = methodAES256
		}
		if len(c.filters) > 100 {
			return limit("encrypt", -1, "too many crypt filters")
		}
	}
	for _, e := range []struct {
		key Name
		m   *cryptMethod
	}{{"StmF", &c.streams}, {"StrF", &c.strings}} {
		name, err := d.LookupName(dict, e.key)
		if err != nil {
			return err
		}
		if *e.m, err = c.named(name); err != nil {
			return err
		}
	}
	return nil
}

func (c *crypt) named(name Name) (cryptMethod, error) {
	if name == "" || name == "Identity" {
		return methodNone, nil
	}
	m, ok := c.filters[name]
	if !ok || m == methodAES256 && c.v != 5 || c.v == 5 && (m == methodRC4 || m == methodAES128) {
		return methodNone, unsupported("unknown crypt filter")
	}
	return m, nil
}

// keyInput is what the file key is derived from.
type keyInput struct {
	r            int64
	n            int // key bytes up to R4
	o, u, oe, ue []byte
	perms        int32
	id           []byte
	meta         bool
}

func (in keyInput) same(o keyInput) bool {
	return in.r == o.r && in.n == o.n && in.perms == o.perms && in.meta == o.meta && bytes.Equal(in.o, o.o) && bytes.Equal(in.u, o.u) &&
		bytes.Equal(in.oe, o.oe) && bytes.Equal(in.ue, o.ue) && bytes.Equal(in.id, o.id)
}

func (d *Doc) keyInput(dict *Dict, n int) (in keyInput, err error) {
	in.n = n
	for _, e := range []struct {
		key Name
		b   *[]byte
	}{{"O", &in.o}, {"U", &in.u}, {"OE", &in.oe}, {"UE", &in.ue}} {
		o, err := d.Lookup(dict, e.key)
		if err != nil {
			return in, err
		}
		s, _ := o.(String)
		*e.b = s.B
	}
	ids, _, err := d.LookupArray(d.trailer, "ID")
	if err != nil {
		return in, err
	}
	id, err := d.Resolve(ids.At(0))
	if err != nil {
		return in, err
	}
	s, _ := id.(String)
	in.id = s.B
	return in, nil
}

// find tries password as the user's and as the owner's, then the empty one.
func (in keyInput) find(password string) []byte {
	if in.r >= 5 {
		if len(in.o) < 48 || len(in.u) < 48 || len(in.oe) < 32 || len(in.ue) < 32 {
			return nil
		}
		p := []byte(password)
		p = p[:min(len(p), 127)]
		for _, p := range [][]byte{p, nil} {
			if key := in.newer(p, false); key != nil {
				return key
			}
			if key := in.newer(p, true); key != nil {
				return key
			}
		}
		return nil
	}
	if len(in.o) < 32 || len(in.u) < 16 || in.r == 2 && len(in.u) < 32 {
		return nil
	}
	for _, p := range append(passwordBytes(password), nil) {
		if key := in.older(p); key != nil {
			return key
		}
		if key := in.older(in.userFromOwner(p)); key != nil {
			return key
		}
	}
	return nil
}

// passwordBytes returns the spellings to try of a password before R5:
// PDFDocEncoding, and the UTF-8 some writers use.
func passwordBytes(p string) [][]byte {
	out := [][]byte{[]byte(p)}
	if b, ok := pdfDocEncode(p); ok && string(b) != p {
		out = append([][]byte{b}, out...)
	}
	return out
}

var passwordPad = []byte("\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A")

func pad(p []byte) []byte {
	return append(append([]byte(nil), p[:min(len(p), 32)]...), passwordPad...)[:32]
}

// older derives the key from a user password (algorithm 2) and checks it
// (algorithms 4 to 6).
func (in keyInput) older(user []byte) []byte {
	h := md5.New()
	h.Write(pad(user))
	h.Write(in.o[:32])
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(in.perms)))
	h.Write(in.id)
	if in.r >= 4 && !in.meta {
		h.Write([]byte{255, 255, 255, 255})
	}
	key := h.Sum(nil)
	n := 5
	if in.r >= 3 {
		n = in.n
		for range 50 {
			s := md5.Sum(key[:n])
			key = s[:]
		}
	}
	key = key[:n]
	if in.r == 2 {
		if bytes.Equal(rc4Bytes(key, passwordPad), in.u[:32:32]) {
			return key
		}
		return nil
	}
	s := md5.Sum(append(append([]byte(nil), passwordPad...), in.id...))
	b := rc4Rounds(key, s[:], 0, 19)
	if bytes.Equal(b, in.u[:16]) {
		return key
	}
	return nil
}

// userFromOwner recovers the user password by the owner's (algorithm 7).
func (in keyInput) userFromOwner(owner []byte) []byte {
	s := md5.Sum(pad(owner))
	key := s[:]
	n := 5
	if in.r >= 3 {
		n = in.n
		for range 50 {
			s := md5.Sum(key[:n])
			key = append(key[:0:0], s[:]...)
		}
	}
	key = key[:n]
	if in.r == 2 {
		return rc4Bytes(key, in.o[:32])
	}
	return rc4Rounds(key, in.o[:32], 19, 0)
}

func rc4Bytes(key, b []byte) []byte {
	out := make([]byte, len(b))
	c, err := rc4.NewCipher(key)
	if err != nil { // keys are 5 to 21 bytes
		return out
	}
	c.XORKeyStream(out, b)
	return out
}

// rc4Rounds applies RC4 with the key XORed by from, ..., to.
func rc4Rounds(key, b []byte, from, to int) []byte {
	k := make([]byte, len(key))
	for i := from; ; {
		for j := range key {
			k[j] = key[j] ^ byte(i)
		}
		b = rc4Bytes(k, b)
		if i == to {
			return b
		}
		if from < to {
			i++
		} else {
			i--
		}
	}
}

// newer checks a password of R5 and R6 and decrypts the file key (algorithm
// 2.A, 11, 12).
func (in keyInput) newer(p []byte, owner bool) []byte {
	check, enc, extra := in.u, in.ue, []byte(nil)
	if owner {
		check, enc, extra = in.o, in.oe, in.u[:48]
	}
	if !bytes.Equal(in.hash(p, check[32:40], extra), check[:32]) {
		return nil
	}
	block, err := aes.NewCipher(in.hash(p, check[40:48], extra))
	if err != nil {
		return nil
	}
	key := make([]byte, 32)
	cipher.NewCBCDecrypter(block, make([]byte, 16)).CryptBlocks(key, enc[:32])
	return key
}

// hash is SHA-256 for R5 and algorithm 2.B for R6.
func (in keyInput) hash(p, salt, extra []byte) []byte {
	s := sha256.Sum256(bytes.Join([][]byte{p, salt, extra}, nil))
	k := s[:]
	if in.r == 5 {
		return k
	}
	var k1, e []byte
	for i := 0; ; i++ {
		k1 = k1[:0]
		one := len(p) + len(k) + len(extra)
		for range 64 {
			k1 = append(append(append(k1, p...), k...), extra...)
		}
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		e = append(e[:0], k1[:64*one]...)
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(e, e)
		sum := 0
		for _, c := range e[:16] {
			sum += int(c)
		}
		switch sum % 3 {
		case 0:
			s := sha256.Sum256(e)
			k = s[:]
		case 1:
			s := sha512.Sum384(e)
			k = s[:]
		case 2:
			s := sha512.Sum512(e)
			k = s[:]
		}
		if i >= 63 && int(e[len(e)-1]) <= i-31 {
			return k[:32]
		}
	}
}
