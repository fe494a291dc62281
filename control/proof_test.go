package control_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// vector is the one of docs/protocol.md.
func vector(t *testing.T) (node, service mesh.PrivateKey, nonce control.Nonce, body []byte, proof control.Proof) {
	t.Helper()
	node, err := mesh.ParsePrivateKey(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	copy(nonce[:], bytes.Repeat([]byte{3}, 16))
	copy(nonce[16:], []byte{0, 0, 0, 0, 0x6b, 0x49, 0xd2, 0x00}) // 1800000000
	service, err = control.ServiceKey(bytes.Repeat([]byte{2}, 32), nonce, node.Public())
	if err != nil {
		t.Fatal(err)
	}
	body = []byte(`{"hostname":"laptop"}`)
	proof, err = control.Prove(node, service.Public(), nonce, control.PathRegister, body)
	if err != nil {
		t.Fatal(err)
	}
	return node, service, nonce, body, proof
}

func TestProofVectorOfTheProtocol(t *testing.T) {
	node, service, nonce, _, proof := vector(t)
	if want := time.Unix(1800000000, 0); !nonce.Expires().Equal(want) {
		t.Errorf("nonce expires %v, want %v", nonce.Expires(), want)
	}
	n, e := node.Public(), service.Public()
	text := fmt.Sprintf("N         = %s\nE         = %s\nchallenge = %s\nproof     = %s\n",
		hex.EncodeToString(n[:]), hex.EncodeToString(e[:]), nonce, proof)
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), text) {
		t.Errorf("docs/protocol.md does not hold\n%s", text)
	}
}

func TestProofIsForOneRequestOfOneNode(t *testing.T) {
	node, service, nonce, body, proof := vector(t)
	want, err := control.Expect(service, node.Public(), nonce, control.PathRegister, body)
	if err != nil || !want.Equal(proof) {
		t.Fatalf("both sides differ: %v and %v, %v", want, proof, err)
	}
	stranger, _ := mesh.NewPrivateKey()
	later := nonce
	later[23]++
	laterKey, err := control.ServiceKey(bytes.Repeat([]byte{2}, 32), later, node.Public())
	if err != nil {
		t.Fatal(err)
	}
	strangerKey, err := control.ServiceKey(bytes.Repeat([]byte{2}, 32), nonce, stranger.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]func() (control.Proof, error){
		"another body": func() (control.Proof, error) {
			return control.Expect(service, node.Public(), nonce, control.PathRegister, append(body, ' '))
		},
		"another path": func() (control.Proof, error) {
			return control.Expect(service, node.Public(), nonce, control.PathSession, body)
		},
		"another node": func() (control.Proof, error) {
			return control.Expect(strangerKey, stranger.Public(), nonce, control.PathRegister, body)
		},
		"another expiry": func() (control.Proof, error) {
			return control.Expect(laterKey, node.Public(), later, control.PathRegister, body)
		},
	} {
		p, err := got()
		if err != nil || p.Equal(proof) {
			t.Errorf("%s: the proof fits, %v", name, err)
		}
	}
}

func TestLowOrderPointsProveNothing(t *testing.T) {
	node, service, nonce, body, _ := vector(t)
	for _, low := range []mesh.Key{{}, {1}} {
		if _, err := control.Prove(node, low, nonce, control.PathRegister, body); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("Prove to %v: %v", low, err)
		}
		if _, err := control.Expect(service, low, nonce, control.PathRegister, body); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("Expect of %v: %v", low, err)
		}
	}
	if _, err := control.ServiceKey([]byte("short"), nonce, node.Public()); err == nil {
		t.Error("a short database secret is taken")
	}
}

func TestNonceAndProofText(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	n, err := control.NewNonce(now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := control.ParseNonce(n.String())
	if err != nil || again != n || !n.Expires().Equal(now.Add(control.ChallengeLife)) {
		t.Errorf("nonce %v reads back as %v, %v", n, again, err)
	}
	for _, s := range []string{"", "x", n.String() + "=", n.String()[1:], n.String() + "AA", strings.Repeat("!", 32)} {
		if _, err := control.ParseNonce(s); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("ParseNonce(%q) = %v", s, err)
		}
		if _, err := control.ParseProof(s); mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("ParseProof(%q) = %v", s, err)
		}
	}
}
