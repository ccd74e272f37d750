package evidence

import "bytes"

// WriteContainer lets tests write a bundle's container from any entries.
func WriteContainer(files map[string][]byte) []byte {
	var list []*source
	for name, b := range files {
		s := sourceOf(name, b)
		if err := s.measure(); err != nil {
			panic(err)
		}
		list = append(list, s)
	}
	var out bytes.Buffer
	if _, err := writeContainer(&out, list); err != nil {
		panic(err)
	}
	return out.Bytes()
}
