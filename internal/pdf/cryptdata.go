package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"encoding/binary"
	"io"
)

// objectKey returns the key of one object (algorithms 1 and 1.A).
func (c *crypt) objectKey(ref Ref, m cryptMethod) []byte {
	if m == methodAES256 {
		return c.key
	}
	b := make([]byte, 0, 32)
	b = append(b, c.key...)
	b = append(b, byte(ref.Num), byte(ref.Num>>8), byte(ref.Num>>16), byte(ref.Gen), byte(ref.Gen>>8))
	if m == methodAES128 {
		b = append(b, "sAlT"...)
	}
	s := md5.Sum(b)
	return s[:min(len(c.key)+5, 16)]
}

func (c *crypt) decryptString(ref Ref, b []byte) ([]byte, error) {
	return c.decrypt(ref, c.strings, b)
}

func (c *crypt) decrypt(ref Ref, m cryptMethod, b []byte) ([]byte, error) {
	switch m {
	case methodNone:
		return b, nil
	case methodRC4:
		return rc4Bytes(c.objectKey(ref, m), b), nil
	}
	if len(b) < 16 { // an empty string is written as such by some
		if len(b) == 0 {
			return b, nil
		}
		return nil, malformed("decrypt", -1, "data shorter than a block")
	}
	block, err := aes.NewCipher(c.objectKey(ref, m))
	if err != nil {
		return nil, malformed("decrypt", -1, "key of wrong length")
	}
	out := append([]byte(nil), b[16:len(b)-len(b)%16]...)
	cipher.NewCBCDecrypter(block, b[:16]).CryptBlocks(out, out)
	return unpad(out), nil
}

// unpad removes the padding of the last block; what is no padding is kept, as
// other readers do.
func unpad(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	if n := int(b[len(b)-1]); n >= 1 && n <= 16 && n <= len(b) {
		return b[:len(b)-n]
	}
	return b
}

// streamMethod returns how a stream's data is encrypted.
func (c *crypt) streamMethod(d *Doc, dict *Dict) (cryptMethod, error) {
	t, err := d.LookupName(dict, "Type")
	if err != nil {
		return 0, err
	}
	if t == "XRef" {
		return methodNone, nil
	}
	s := Stream{Dict: dict, org: origin{doc: d}}
	chain, err := s.filters()
	if err != nil {
		return 0, err
	}
	if len(chain) > 0 && chain[0].name == "Crypt" {
		name, err := d.LookupName(chain[0].parms, "Name")
		if err != nil {
			return 0, err
		}
		return c.named(name)
	}
	if t == "Metadata" && !c.meta && c.v >= 4 {
		return methodNone, nil
	}
	return c.streams, nil
}

// decryptReader decrypts n bytes of stream data.
func (c *crypt) decryptReader(ref Ref, m cryptMethod, r io.Reader, n int64) (io.Reader, error) {
	if m == methodRC4 {
		s, err := rc4.NewCipher(c.objectKey(ref, m))
		if err != nil {
			return nil, malformed("decrypt", -1, "key of wrong length")
		}
		return cipher.StreamReader{S: s, R: r}, nil
	}
	block, err := aes.NewCipher(c.objectKey(ref, m))
	if err != nil {
		return nil, malformed("decrypt", -1, "key of wrong length")
	}
	if n < 16 {
		return bytes.NewReader(nil), nil
	}
	var iv [16]byte
	if _, err := io.ReadFull(r, iv[:]); err != nil {
		return nil, err
	}
	return &cbcReader{r: r, mode: cipher.NewCBCDecrypter(block, iv[:]), left: (n - 16) / 16 * 16}, nil
}

// cbcReader decrypts whole blocks and removes the padding of the last.
type cbcReader struct {
	r    io.Reader
	mode cipher.BlockMode
	left int64 // encrypted bytes not read yet
	buf  [4 << 10]byte
	out  []byte
}

func (c *cbcReader) Read(p []byte) (int, error) {
	if len(c.out) == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		b := c.buf[:min(int64(len(c.buf)), c.left)]
		if _, err := io.ReadFull(c.r, b); err != nil {
			return 0, err
		}
		c.left -= int64(len(b))
		c.mode.CryptBlocks(b, b)
		if c.left == 0 {
			b = unpad(b)
		}
		if c.out = b; len(b) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *crypt) encryptString(ref Ref, b []byte, off int64) ([]byte, error) {
	return c.encrypt(ref, c.strings, b, off)
}

// encrypt encrypts data that will stand at off. The initialisation vector is a
// keyed hash of place and content: as unpredictable as a random one to who does
// not have the key, and the same for the same document.
func (c *crypt) encrypt(ref Ref, m cryptMethod, b []byte, off int64) ([]byte, error) {
	switch m {
	case methodNone:
		return b, nil
	case methodRC4:
		return rc4Bytes(c.objectKey(ref, m), b), nil
	}
	block, err := aes.NewCipher(c.objectKey(ref, m))
	if err != nil {
		return nil, malformed("encrypt", -1, "key of wrong length")
	}
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte("countersign iv"))
	h.Write(binary.BigEndian.AppendUint32(nil, ref.Num))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(off)))
	h.Write(b)
	iv := h.Sum(nil)[:16]
	n := 16 - len(b)%16
	out := make([]byte, 0, 16+len(b)+n)
	out = append(append(out, iv...), b...)
	out = append(out, bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[16:], out[16:])
	return out, nil
}
