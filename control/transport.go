package control

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"nexd/internal/firstflight"
)

// pinError means that the service's TLS key does not match the pin.
type pinError struct{ got, want Pin }

func (e *pinError) Error() string {
	return fmt.Sprintf("TLS key has pin %v, not %v", e.got, e.want)
}

// newTransport uses only HTTP/1.1, so every watch has its own connection and the next call
// never shares a dead one.
func newTransport(cfg Config) *firstflight.Transport {
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	return firstflight.New(firstflight.Config{Dial: cfg.dialer, Logger: cfg.Logger, Base: &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyRefuses,
		TLSClientConfig:        tlsConfig(cfg),
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  cfg.CallTimeout,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}})
}

// dialer makes connections with segments of at most mss bytes; 0 sets no limit.
func (cfg Config) dialer(mss int) firstflight.DialFunc {
	if cfg.DialContext != nil {
		return cfg.DialContext
	}
	return (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
		if cfg.Control != nil {
			if err := cfg.Control(network, address, c); err != nil {
				return err
			}
		}
		return firstflight.Limit(c, mss)
	}}).DialContext
}

// tlsConfig verifies the pin if there is one, otherwise against the roots; never both.
func tlsConfig(cfg Config) *tls.Config {
	tc := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs, NextProtos: []string{"http/1.1"}}
	if want := cfg.URL.Pin; !want.IsZero() {
		tc.InsecureSkipVerify = true // VerifyConnection does it, also on resumed sessions
		tc.VerifyConnection = func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return &pinError{want: want}
			}
			if got := PinOf(cs.PeerCertificates[0]); !got.Equal(want) {
				return &pinError{got: got, want: want}
			}
			return nil
		}
	}
	return tc
}
