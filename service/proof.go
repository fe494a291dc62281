package service

import (
	"sync"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// mostUsed bounds the table of used challenges. Beyond it a replay within the
// challenge's minute is possible; it repeats a registration and changes nothing.
const mostUsed = 200_000

// prover hands out challenges and checks the answers. It remembers only which
// challenges were answered here.
type prover struct {
	secret []byte
	now    func() time.Time

	mu   sync.Mutex
	used map[control.Nonce]bool
	next time.Time // when to sweep used
}

func newProver(secret []byte, now func() time.Time) *prover {
	return &prover{secret: secret, now: now, used: map[control.Nonce]bool{}}
}

// challenge makes a challenge for a node.
func (p *prover) challenge(node mesh.Key) (control.Challenge, error) {
	nonce, err := control.NewNonce(p.now())
	if err != nil {
		return control.Challenge{}, err
	}
	key, err := control.ServiceKey(p.secret, nonce, node)
	if err != nil {
		return control.Challenge{}, err
	}
	if _, err := key.SharedSecret(node); err != nil { // a low-order key could never answer
		return control.Challenge{}, err
	}
	return control.Challenge{Nonce: nonce, ServiceKey: key.Public(), Expires: nonce.Expires()}, nil
}

// check reports an error unless the node's private key made the proof for this request.
func (p *prover) check(node mesh.Key, nonceText, proofText, path string, body []byte) error {
	if nonceText == "" || proofText == "" {
		return control.Errorf(mesh.Invalid, control.ReasonProof, "service: headers %s and %s are missing", control.HeaderChallenge, control.HeaderProof)
	}
	nonce, err := control.ParseNonce(nonceText)
	if err != nil {
		return err
	}
	proof, err := control.ParseProof(proofText)
	if err != nil {
		return err
	}
	now := p.now()
	if !now.Before(nonce.Expires()) || nonce.Expires().After(now.Add(2*control.ChallengeLife)) {
		return control.Errorf(mesh.Denied, control.ReasonChallenge, "service: the challenge has expired; ask for another")
	}
	key, err := control.ServiceKey(p.secret, nonce, node)
	if err != nil {
		return err
	}
	want, err := control.Expect(key, node, nonce, path, body)
	if err != nil {
		return err
	}
	if !want.Equal(proof) {
		return control.Errorf(mesh.Denied, control.ReasonProof, "service: the proof does not show possession of the private key to %v", node)
	}
	if !p.use(nonce, now) {
		return control.Errorf(mesh.Denied, control.ReasonChallenge, "service: the challenge was answered before; ask for another")
	}
	return nil
}

// use marks a challenge as answered; it returns false if the challenge was marked before.
func (p *prover) use(nonce control.Nonce, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used[nonce] {
		return false
	}
	if now.After(p.next) || len(p.used) >= mostUsed {
		for n := range p.used {
			if n.Expires().Before(now) {
				delete(p.used, n)
			}
		}
		p.next = now.Add(control.ChallengeLife)
	}
	if len(p.used) < mostUsed {
		p.used[nonce] = true
	}
	return true
}
