package service_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"nexd/control"
	"nexd/mesh"
)

// rawCaller speaks the protocol by hand, so that it can speak it wrong.
type rawCaller struct {
	t    *testing.T
	key  mesh.PrivateKey
	http *http.Client
}

func (c rawCaller) challenge(u control.JoinURL) control.Challenge {
	c.t.Helper()
	in, _ := json.Marshal(control.ChallengeRequest{PublicKey: c.key.Public()})
	resp, err := c.http.Post(u.Base()+control.PathChallenge, control.TypeJSON, bytes.NewReader(in))
	if err != nil {
		c.t.Fatal(err)
	}
	var ch control.Challenge
	if b := bodyOf(c.t, resp); resp.StatusCode != 200 || json.Unmarshal(b, &ch) != nil {
		c.t.Fatalf("challenge: %d %s", resp.StatusCode, b)
	}
	return ch
}

func (c rawCaller) registration(key string, pin control.Pin) []byte {
	b, _ := json.Marshal(control.Registration{PublicKey: c.key.Public(), ServerPin: pin, RegKey: key, Hostname: "raw"})
	return b
}

// answer proves over one body and sends another.
func (c rawCaller) answer(u control.JoinURL, ch control.Challenge, path string, proved, sent []byte) (int, []byte) {
	c.t.Helper()
	proof, err := control.Prove(c.key, ch.ServiceKey, ch.Nonce, path, proved)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.post(u, path, ch.Nonce.String(), proof.String(), sent)
}

func (c rawCaller) post(u control.JoinURL, path, nonce, proof string, body []byte) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(http.MethodPost, u.Base()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", control.TypeJSON)
	req.Header.Set(control.HeaderChallenge, nonce)
	req.Header.Set(control.HeaderProof, proof)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, bodyOf(c.t, resp)
}

func tokenIn(t *testing.T, answer []byte) string {
	t.Helper()
	var out control.Registered
	if err := json.Unmarshal(answer, &out); err != nil || out.Session.Token == "" {
		t.Fatalf("no session in %s", answer)
	}
	return out.Session.Token
}

func problemIn(t *testing.T, answer []byte) *control.Problem {
	t.Helper()
	p, ok := control.ParseProblem(answer)
	if !ok {
		t.Fatalf("no problem but %s", answer)
	}
	return p
}
