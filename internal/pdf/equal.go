package pdf

// Equal compares two objects by value: 1 and 1.0 are equal, the order of keys
// and the spelling of names, strings and numbers do not matter, null is an
// absent key. A reference and a direct value are compared by what the reference
// leads to. Two references with the same number are equal as they stand, for
// what they lead to is compared on its own; with different numbers they are
// compared by what they lead to. Streams are compared by dictionary (without
// /Length) and decrypted data, and if that differs, by decoded data.
func Equal(da *Doc, a Object, db *Doc, b Object) (bool, error) {
	c := comparer{da: da, db: db}
	return c.equal(a, b, 0)
}
