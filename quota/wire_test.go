package quota

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/countersign/countersign/storage"
)

// TestWire_round_trip writes and reads every field of the compact forms.
func TestWire_round_trip(t *testing.T) {
	text := rapid.OneOf(rapid.StringN(0, 8, 24), rapid.SampledFrom(words[:]))
	num := rapid.Int64()
	instants := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "none") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(-62135596800000000+1, 253402300799999999).Draw(t, "us")).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		s := func() string { return text.Draw(t, "s") }
		n := func() Units { return Units(num.Draw(t, "n")) }
		at := func() time.Time { return instants.Draw(t, "t") }
		bit := func() bool { return rapid.Bool().Draw(t, "b") }
		lot := Lot{
			ID: LotID(s()), Unit: Unit(s()), Priority: rapid.Int16().Draw(t, "p"), Source: Source(s()), From: at(), Until: at(), Order: s(),
			Granted: n(), Held: n(), Used: n(), Expired: n(), Clawed: n(), Frozen: bit(), Clawing: bit(), Refund: s(), FirstUse: at(), Credited: at(),
		}
		if bit() {
			lot.Scope = []ChargeKind{ChargeKind(s()), ChargeKind(s())}
			lot.Lapse = []Lapse{{at(), n()}}
		}
		h := head{Account: AccountID(s()), Seq: rapid.Uint64().Draw(t, "seq"), Last: at(), Lots: []Lot{lot}, Suspended: s(), MergedInto: AccountID(s())}
		if bit() {
			h.Usage = []dayUse{{int64(n()), Unit(s()), n()}}
			h.Marks = []mark{{AlertRule(s()), Unit(s()), LotID(s())}}
		}
		same(t, heads, h)
		same(t, holds, holdRecord{
			Hold: Hold{ID: HoldID(s()), Account: AccountID(s()), Ref: s(), Rates: int(n()), Expires: at(), Rev: 7, Lines: []Line{{
				Slot: SlotID(s()), Kind: ChargeKind(s()), Unit: Unit(s()), Units: n(), Channel: Channel(s()), Sticky: bit(), State: LineState(s()),
				Free: s(), From: []Slice{{LotID(s()), n(), 9}}, Account: AccountID(s()), Held: at(), Settled: at(), Cause: Cause(s()), Since: 3,
			}}},
			Intent: digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "intent")), Opened: []Channel{Channel(s())}, Charged: bit(),
		})
		e := Entry{
			Seq: 1, Effective: at(), Recorded: at(), Kind: EntryKind(s()), Lot: LotID(s()), Hold: HoldID(s()), Slot: SlotID(s()), Units: n(),
			Debit: Book(s()), Credit: Book(s()), Reverses: 8, Actor: s(), Reason: s(), Expires: at(),
		}
		if bit() {
			e.State = &lot
		}
		data, err := encodeEntry(&e)
		require.NoError(t, err)
		got, err := decodeEntry(data)
		require.NoError(t, err)
		require.Equal(t, e, got)
	})
}

func same[T any](t require.TestingT, k packed[T], v T) {
	data, err := k.Encode(v)
	require.NoError(t, err)
	got, err := k.Decode(storage.Record{Data: data})
	require.NoError(t, err)
	if h, ok := any(&got).(*holdRecord); ok {
		lines := slices.Clone(h.Lines)
		sameTerms(t, *h)
		h.Lines = lines
		h.terms = ""
	}
	require.Equal(t, v, got)
	if k.codec.Bound != nil {
		require.LessOrEqual(t, len(data), k.codec.Bound(&v))
	}
	for cut := range data {
		_, err := k.Decode(storage.Record{Data: data[:cut]})
		require.ErrorIs(t, err, storage.ErrCorrupt, "cut at %d", cut)
	}
	_, err = k.Decode(storage.Record{Data: append(data, 0)})
	require.ErrorIs(t, err, storage.ErrCorrupt)
	// The same as JSON, which a person or another tool may have written.
	data, err = k.Kind.Encode(v)
	require.NoError(t, err)
	_, err = k.Decode(storage.Record{Data: data})
	require.NoError(t, err)
}

// sameTerms: what settling changes is written beside terms as they were read.
func sameTerms(t require.TestingT, h holdRecord) {
	require.NotEmpty(t, h.terms)
	h.Rev++
	h.Lines[0].Channel, h.Lines[0].Sticky, h.Lines[0].State, h.Lines[0].Cause, h.Lines[0].Settled = "x", true, Forfeited, Revoked, time.UnixMicro(1).UTC()
	kept, err := holds.Encode(h)
	require.NoError(t, err)
	h.terms = ""
	made, err := holds.Encode(h)
	require.NoError(t, err)
	require.Equal(t, made, kept)
}

func TestWire_texts_of_any_length(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 129, 255, 256, 300, 1 << 14} {
		s := strings.Repeat("x", n)
		r := reader{b: string(putText(nil, s))}
		require.Equal(t, s, r.text(), n)
		require.NoError(t, r.end())
	}
}

// Every text of the package's constants takes a byte, any other is kept as it is.
func TestWire_words(t *testing.T) {
	seen := make(map[string]bool)
	for n, s := range words {
		if n == 0 {
			continue
		}
		require.False(t, seen[s], "%q is twice among words", s)
		seen[s] = true
		require.Equal(t, []byte{byte(n)}, putWord(nil, s))
		r := reader{b: string([]byte{byte(n)})}
		require.Equal(t, s, r.word())
		require.NoError(t, r.end())
	}
	for kind := range DefaultRates()[0].Kinds {
		require.True(t, seen[string(kind)], kind)
	}
	require.Equal(t, append([]byte{0, 3}, "own"...), putWord(nil, "own"))
	for _, data := range []string{"", string([]byte{byte(len(words))}), "\xff", "\x00", "\x00\x02a"} {
		r := reader{b: data}
		require.Empty(t, r.word())
		require.ErrorIs(t, r.err, storage.ErrCorrupt)
	}
}

func TestWire_newer_schema_is_refused(t *testing.T) {
	_, err := heads.Decode(storage.Record{Data: []byte{wireMark, 2}})
	require.ErrorIs(t, err, storage.ErrNewer)
	_, err = decodeEntry([]byte{wireMark, 9, 1})
	require.ErrorIs(t, err, storage.ErrNewer)
	_, err = decodeEntry([]byte{wireMark, 0, 1})
	require.NotErrorIs(t, err, storage.ErrNewer)
	_, err = decodeEntry(nil)
	require.ErrorIs(t, err, storage.ErrCorrupt)
}

// TestIntent_covers_every_field changes each field of the requests that write
// their intents themselves.
func TestIntent_covers_every_field(t *testing.T) {
	reserve := ReserveRequest{Tenant: "t", ID: "i", Account: "a", Lines: []LineRequest{{Slot: "s", Kind: "k"}}}
	seen := map[[32]byte]bool{new(books).intent("reserve", &reserve): true, new(books).intent("charge", &reserve): true}
	add := func(sum [32]byte) { assert.False(t, seen[sum]); seen[sum] = true }
	for _, f := range []func(*ReserveRequest){
		func(r *ReserveRequest) { r.Tenant = "x" }, func(r *ReserveRequest) { r.ID = "x" }, func(r *ReserveRequest) { r.Account = "x" },
		func(r *ReserveRequest) { r.Ref = "x" }, func(r *ReserveRequest) { r.TTL = 1 }, func(r *ReserveRequest) { r.Actor = "x" },
		func(r *ReserveRequest) { r.Lines = []LineRequest{{Slot: "x", Kind: "k"}} },
		func(r *ReserveRequest) { r.Lines = []LineRequest{{Slot: "s", Kind: "x"}} },
		func(r *ReserveRequest) { r.Lines = []LineRequest{{Slot: "s", Kind: "k", Channel: "x"}} },
		func(r *ReserveRequest) { r.Lines = []LineRequest{{Slot: "s", Kind: "k", Free: "x"}} },
		func(r *ReserveRequest) { r.Lines = []LineRequest{{Slot: "s", Kind: "k", Quantity: 1}} },
		func(r *ReserveRequest) { r.Lines = append(r.Lines, r.Lines[0]) },
	} {
		r := reserve
		f(&r)
		add(new(books).intent("reserve", &r))
	}
	capture := CaptureRequest{Tenant: "t", ID: "i", Hold: "h", Slots: []SlotID{"s"}}
	add(new(books).intent("capture", &capture))
	for _, f := range []func(*CaptureRequest){
		func(r *CaptureRequest) { r.Tenant = "x" }, func(r *CaptureRequest) { r.ID = "x" }, func(r *CaptureRequest) { r.Hold = "x" },
		func(r *CaptureRequest) { r.Slots = []SlotID{"x"} }, func(r *CaptureRequest) { r.Slots = []SlotID{"s", "x"} }, func(r *CaptureRequest) { r.Actor = "x" },
	} {
		r := capture
		f(&r)
		add(new(books).intent("capture", &r))
	}
	release := ReleaseRequest{Tenant: "t", ID: "i", Hold: "h", Slots: []SlotID{"s"}, Cause: Revoked}
	add(new(books).intent("release", &release))
	for _, f := range []func(*ReleaseRequest){
		func(r *ReleaseRequest) { r.Tenant = "x" }, func(r *ReleaseRequest) { r.ID = "x" }, func(r *ReleaseRequest) { r.Hold = "x" },
		func(r *ReleaseRequest) { r.Slots = nil }, func(r *ReleaseRequest) { r.Cause = Closed }, func(r *ReleaseRequest) { r.Actor = "x" },
	} {
		r := release
		f(&r)
		add(new(books).intent("release", &r))
	}
}

// FuzzWire: no bytes make a record panic, or fill memory beyond their length.
func FuzzWire(f *testing.F) {
	data, err := heads.Encode(head{Account: "a", Lots: []Lot{{ID: "l", Scope: []ChargeKind{"x"}, Lapse: []Lapse{{Units: 1}}}}})
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte{wireMark, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = heads.Decode(storage.Record{Data: in})
		_, _ = holds.Decode(storage.Record{Data: in})
		_, _ = decodeEntry(in)
	})
}
