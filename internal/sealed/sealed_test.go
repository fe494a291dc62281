package sealed_test

import (
	"fmt"
	"testing"

	"nexd/internal/sealed"
)

func message(t byte, size int) []byte {
	b := make([]byte, size)
	b[0] = t
	return b
}

func TestType(t *testing.T) {
	for _, tt := range []struct {
		what string
		msg  []byte
		want uint32
	}{
		{"initiation", message(1, 148), sealed.Initiation}, {"long initiation", message(1, 149), 0},
		{"response", message(2, 92), sealed.Response}, {"short response", message(2, 91), 0},
		{"cookie", message(3, 64), sealed.Cookie}, {"long cookie", message(3, 65), 0},
		{"keepalive", message(4, 32), sealed.Data}, {"data", message(4, 1452), sealed.Data}, {"short data", message(4, 31), 0},
		{"other type", message(5, 64), 0}, {"reserved bytes", append([]byte{4, 1}, make([]byte, 62)...), 0}, {"nothing", nil, 0},
		{"probe", append([]byte(sealed.CallMagic), make([]byte, 60)...), 0},
	} {
		if got := sealed.Type(tt.msg); got != tt.want {
			t.Errorf("%s: type %d, want %d", tt.what, got, tt.want)
		}
	}
}

func ExampleIsCall() {
	fmt.Println(sealed.IsCall([]byte(sealed.CallMagic+"…")), sealed.IsCall(message(4, 32)), sealed.IsCall(nil))
	// Output: true false false
}
