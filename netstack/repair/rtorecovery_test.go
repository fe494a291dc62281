package repair

import (
	"fmt"
	"testing"
)

func TestAgeEcho(t *testing.T) {
	ts := func(v byte) []byte { return []byte{8, 10, 1, 1, 1, 1, 9, 9, 9, echoAge + v} }
	for _, tt := range []struct{ in, want []byte }{
		{ts(echoAge), ts(0)},
		{append([]byte{1, 1}, ts(echoAge)...), append([]byte{1, 1}, ts(0)...)},
		{append([]byte{5, 2}, ts(echoAge)...), append([]byte{5, 2}, ts(0)...)},
		{append([]byte{0}, ts(7)...), append([]byte{0}, ts(7)...)},
		{[]byte{8, 10, 1, 1, 1, 1, 0, 0, 0, echoAge}, []byte{8, 10, 1, 1, 1, 1, 0, 0, 0, echoAge}},
		{[]byte{8}, []byte{8}}, {[]byte{8, 10, 1}, []byte{8, 10, 1}}, {[]byte{8, 0, 1}, []byte{8, 0, 1}}, {nil, nil},
	} {
		got := append([]byte(nil), tt.in...)
		if ageEcho(got); fmt.Sprint(got) != fmt.Sprint(tt.want) && len(tt.want) > 0 {
			t.Errorf("ageEcho(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}
