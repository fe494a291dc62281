package control

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"nexd/mesh"
)

func lines(r io.Reader, most int) (got []string, err error) {
	l := &lineReader{r: bufio.NewReaderSize(r, 16), most: most}
	for {
		b, err := l.next()
		if err != nil {
			return got, err
		}
		got = append(got, string(b))
	}
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, tt := range []struct {
		name, in string
		most     int
		want     []string
		err      error
	}{
		{"lines", "a\nb\r\n\n  \nc\n", 10, []string{"a", "b", "c"}, io.EOF},
		{"cut off", "a\nb", 10, []string{"a"}, io.EOF},
		{"longer than the buffer", long + "\nb\n", 200, []string{long, "b"}, io.EOF},
		{"too long", "a\n" + long + "\n", 50, []string{"a"}, errLongLine},
		{"endless", strings.Repeat("x", 1000), 50, nil, errLongLine},
		{"just fits", "abcd\n", 5, []string{"abcd"}, io.EOF},
		{"empty", "", 5, nil, io.EOF},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := lines(r, tt.most)
			if strings.Join(got, "|") != strings.Join(tt.want, "|") || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s: %q, %v; want %q, %v", tt.name, name, got, err, tt.want, tt.err)
			}
		}
	}
}

func FuzzLineReader(f *testing.F) {
	f.Add("a\nbb\n", 8)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 1 || most > 1000 {
			return
		}
		got, err := lines(strings.NewReader(s), most)
		if err == nil {
			t.Fatal("no end")
		}
		for _, line := range got {
			if len(line) > most || line == "" || strings.Contains(line, "\n") {
				t.Fatalf("line %q of %q", line, s)
			}
		}
	})
}

func TestReadBounded(t *testing.T) {
	for _, tt := range []struct {
		r    io.Reader
		kind mesh.Kind
		want string
	}{
		{strings.NewReader("12345"), mesh.Internal, "12345"},
		{strings.NewReader("123456"), mesh.Invalid, ""},
		{iotest.ErrReader(io.ErrUnexpectedEOF), mesh.Unavailable, ""},
		{io.MultiReader(strings.NewReader("123"), iotest.ErrReader(errors.New("reset"))), mesh.Unavailable, ""},
	} {
		got, err := readBounded(tt.r, 5)
		if string(got) != tt.want || (err == nil) != (tt.kind == mesh.Internal) || mesh.KindOf(err) != tt.kind {
			t.Errorf("%q, %v; want %q and kind %v", got, err, tt.want, tt.kind)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "99999999": time.Hour, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "1e9": 0,
	} {
		if got := retryAfter(s); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " a\nb\tc ": "a b c", "\x1b[31mred\x07": "[31mred", "\xff\xfe": "?", "right\u202eleft": "rightleft", "\u2028x\u0085y": "xy", "grün": "grün",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", in, got, want)
		}
	}
	if got := oneLine(strings.Repeat("ü", 5000)); len(got) > 1010 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long text is %d bytes", len(got))
	}
}

func TestPinText(t *testing.T) {
	var p Pin
	if !p.IsZero() || p.String() != "" || p.UnmarshalText(nil) != nil {
		t.Error("no pin is not empty text")
	}
	text := strings.Repeat("0f", 32)
	if err := p.UnmarshalText([]byte(text)); err != nil || p.String() != text || p.IsZero() || p.Equal(Pin{}) {
		t.Errorf("pin = %v, %v", p, err)
	}
	for _, s := range []string{"x", text[1:], text + "00", strings.Repeat("0", 64), strings.Repeat("zz", 32)} {
		if _, err := ParsePin(s); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("ParsePin(%q) = %v", s, err)
		}
	}
}

func TestStatusOfEveryKind(t *testing.T) {
	seen := map[int]mesh.Kind{}
	for k := mesh.Internal; k <= mesh.Unavailable; k++ {
		status := StatusOf(k)
		if old, twice := seen[status]; twice || status < 400 || status > 599 {
			t.Errorf("%v has status %d, as %v", k, status, old)
		}
		seen[status] = k
	}
	if StatusOf(mesh.Kind(99)) != 500 {
		t.Error("an unknown kind is not a 500")
	}
}
