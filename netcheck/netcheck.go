package netcheck

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"nexd/control"
	"nexd/internal/hostport"
	"nexd/mesh"
)

// DefaultLimit bounds a whole Run.
const DefaultLimit = 5 * time.Second

// Config configures Run. Only URL is required.
type Config struct {
	URL      control.JoinURL
	Insecure bool            // allow an http:// URL
	Key      mesh.PrivateKey // of a node of the service, to connect to the relay; zero = none
	Relay    *Relay          // of a node that is running with Key, since a relay admits one connection for each key; nil = connect
	Node     *Node           // of that node
	Version  string          // of the program
	Memory   string          // file in which the result of the filter test is kept for the next run; empty = none
	Progress func(string)    // called with what is measured now, by one goroutine at a time; may be nil
	Logger   *slog.Logger    // nil = discard
	Limit    time.Duration   // 0 = DefaultLimit

	// The rest is for tests; zero is right.
	Listen   func(network string) (Socket, error)                         // "udp4", "udp6"
	ListenDF func(network string) (Socket, error)                         // the same, with fragmentation forbidden
	Leaving  func(to netip.AddrPort) netip.Addr                           // the address of this host from which to is reached; not valid = no route
	Resolve  func(ctx context.Context, host string) ([]netip.Addr, error) // addresses of a name
	About    func(ctx context.Context) (control.Health, error)            // instead of asking by HTTPS
	Proxy    func(*http.Request) (*url.URL, error)                        // of HTTPS; nil = from the environment
}

// checker is one Run.
type checker struct {
	cfg    Config
	client *control.Client
	stun   []string     // HOST:PORT of STUN servers
	home   []netip.Addr // to which HTTPS was sent

	mu     sync.Mutex // guards Progress
	report Report
}

// Run measures, and reports what it found out before ctx or the limit ended it. An error means that
// Config is invalid.
func Run(ctx context.Context, cfg Config) (Report, error) {
	c, err := newChecker(cfg)
	if err != nil {
		return Report{}, err
	}
	defer c.client.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Limit)
	defer cancel()
	c.say("the service")
	health := c.checkService(ctx)
	c.stun = health.STUN
	var tasks sync.WaitGroup
	quiet, hush := context.WithCancel(ctx)
	tasks.Go(func() { defer hush(); c.checkUDP(ctx, hush) })
	tasks.Go(func() { <-quiet.Done(); c.checkRelay(ctx, health) }) // its packets would open a NAT that is tested
	tasks.Wait()
	r := c.report
	r.assess()
	r.Took = ms(time.Since(began))
	return r, nil
}

func newChecker(cfg Config) (*checker, error) {
	if cfg.Limit == 0 {
		cfg.Limit = DefaultLimit
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Listen == nil {
		cfg.Listen = listen
	}
	if cfg.ListenDF == nil {
		cfg.ListenDF = listenDF
	}
	if cfg.Leaving == nil {
		cfg.Leaving = leaving
	}
	if cfg.Resolve == nil {
		cfg.Resolve = hostport.System
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	key := cfg.Key
	if key.IsZero() { // this key is never used to authenticate
		var err error
		if key, err = mesh.NewPrivateKey(); err != nil {
			return nil, err
		}
	}
	client, err := control.NewClient(control.Config{
		URL: cfg.URL, Key: key, Insecure: cfg.Insecure, Version: cfg.Version, Proxy: cfg.Proxy, CallTimeout: cfg.Limit, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	if cfg.About == nil {
		cfg.About = client.About
	}
	return &checker{cfg: cfg, client: client, report: Report{
		Schema: Schema, UDP: Unknown, IPv4: newFamily(), IPv6: newFamily(), Node: cfg.Node,
		Relay: Relay{State: RelayFailed, UDP: Unknown},
	}}, nil
}

func (c *checker) say(what string) {
	if c.cfg.Progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Progress(what)
}

// checkUDP measures both address families concurrently. It calls quiet when the filters of both have
// been tested.
func (c *checker) checkUDP(ctx context.Context, quiet func()) {
	if len(c.stun) == 0 {
		why := "the service names no STUN server (nexservice serve --stun-listen)"
		if !c.report.Service.Reachable {
			why = "the service did not say where its STUN server is"
		}
		c.report.UDPWhy, c.report.IPv4.Why, c.report.IPv6.Why = why, why, why
		return
	}
	c.say("UDP, NAT and path MTU")
	var four, six []netip.AddrPort
	for _, at := range c.places(ctx) {
		if at.Addr().Is4() {
			four = append(four, at)
		} else {
			six = append(six, at)
		}
	}
	var tasks sync.WaitGroup
	var filters sync.WaitGroup
	filters.Add(2)
	tasks.Go(func() { c.report.IPv4 = c.checkFamily(ctx, "udp4", four, sync.OnceFunc(filters.Done)) })
	tasks.Go(func() { c.report.IPv6 = c.checkFamily(ctx, "udp6", six, sync.OnceFunc(filters.Done)) })
	filters.Wait()
	quiet()
	tasks.Wait()
}

// maxServers is how many servers of a family are asked.
const maxServers = 4

// places returns the addresses of the STUN servers.
func (c *checker) places(ctx context.Context) (out []netip.AddrPort) {
	known := map[string][]netip.Addr{}
	lookup := func(ctx context.Context, host string) ([]netip.Addr, error) { // resolves each name once
		if _, ok := known[host]; !ok {
			if a, err := netip.ParseAddr(host); err == nil {
				known[host] = []netip.Addr{a}
			} else if known[host], err = c.cfg.Resolve(ctx, host); err != nil {
				c.report.UDPWhy = fmt.Sprintf("the STUN server's name %q cannot be resolved", host)
			}
		}
		return known[host], nil
	}
	for _, place := range c.stun {
		addrs, _ := hostport.Resolve(ctx, lookup, place)
		for _, at := range addrs {
			if at.Port() != 0 {
				out = append(out, at)
			}
		}
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
