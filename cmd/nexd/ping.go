package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"nexd/agent/localapi"
	"nexd/internal/program"
	"nexd/mesh"
)

type pingCmd struct {
	Target string        `arg:"" help:"Mesh address, address in an advertised prefix, or node name."`
	Count  int           `short:"c" default:"3" help:"Number of echo requests; 0 continues until interrupted." env:"-"`
	Wait   time.Duration `short:"W" default:"3s" help:"Time to wait for each reply." env:"-"`
	Size   int           `short:"s" default:"56" help:"Payload size in bytes." env:"-"`
	JSON   bool          `name:"json" help:"Print one JSON object for each echo request, and one with the totals." env:"-"`

	UntilDirect bool `help:"Continue until the path is direct, for at most 30 s; exit with 1 if it is still not direct." env:"-"`
}

// untilDirect is the time limit of --until-direct.
const untilDirect = 30 * time.Second

// Run implements program.Command.
func (p *pingCmd) Run(ctx context.Context, c *cli) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	out := pingPrinter{w: c.std.Out, json: p.JSON}
	count, every := p.Count, time.Second
	if p.UntilDirect {
		count, every = 0, 250*time.Millisecond
	}
	begun, why := time.Now(), ""
	for ; (count == 0 || out.total.Sent < count) && ctx.Err() == nil; out.total.Sent++ {
		if p.UntilDirect && time.Since(begun) > untilDirect {
			out.notDirect(why)
			return program.ErrReported
		}
		if out.total.Sent > 0 && !pause(ctx, every) {
			break
		}
		one, cancel := context.WithTimeout(ctx, p.Wait+localTimeout)
		reply, err := client.Ping(one, localapi.PingRequest{Target: p.Target, Size: p.Size, Timeout: p.Wait})
		cancel()
		switch {
		case err == nil:
			out.answer(reply)
			why = reply.Why
			if p.UntilDirect && !strings.HasPrefix(reply.Path, "relay") {
				out.direct()
				return nil
			}
		case ctx.Err() != nil:
		case mesh.KindOf(err) == mesh.Unavailable && !strings.Contains(err.Error(), "no answer"):
			return asked(err)
		case mesh.KindOf(err) == mesh.NotFound || mesh.KindOf(err) == mesh.Invalid || mesh.KindOf(err) == mesh.Denied:
			return err // trying again cannot help
		default:
			out.silence(err)
		}
	}
	out.end()
	if out.total.Answered == 0 {
		return program.ErrReported
	}
	return nil
}

// pingAnswer is a line of ping --json: an echo request with its answer, or with Error.
type pingAnswer struct {
	Seq     int         `json:"seq"` // from 1
	Address *netip.Addr `json:"address,omitempty"`
	RTT     float64     `json:"rtt_ms,omitempty"`
	Path    string      `json:"path,omitempty"`
	Why     string      `json:"why,omitempty"` // this path
	Error   string      `json:"error,omitempty"`
}

// pingTotal is the last line of ping --json.
type pingTotal struct {
	Sent     int     `json:"sent"`
	Answered int     `json:"answered"`
	Min      float64 `json:"min_ms,omitempty"` // round trips
	Mean     float64 `json:"mean_ms,omitempty"`
	Max      float64 `json:"max_ms,omitempty"`
	Direct   *bool   `json:"direct,omitempty"` // of --until-direct
	Why      string  `json:"why,omitempty"`    // it is not
}

// pingPrinter prints the answers and counts them.
type pingPrinter struct {
	w     io.Writer
	json  bool
	total pingTotal
}

func (o *pingPrinter) answer(r localapi.PingReply) {
	t, rtt := &o.total, float64(r.RTT)/float64(time.Millisecond)
	if t.Answered == 0 {
		t.Min = rtt
	}
	t.Min, t.Max = min(t.Min, rtt), max(t.Max, rtt)
	t.Mean += (rtt - t.Mean) / float64(t.Answered+1)
	t.Answered++
	if o.json {
		o.line(pingAnswer{Seq: t.Sent + 1, Address: &r.Address, RTT: rtt, Path: r.Path, Why: r.Why})
		return
	}
	fmt.Fprintf(o.w, "answer from %v: seq=%d time=%s path=%s\n", r.Address, t.Sent+1, millis(r.RTT), r.Path)
}

func (o *pingPrinter) silence(err error) {
	if o.json {
		o.line(pingAnswer{Seq: o.total.Sent + 1, Error: err.Error()})
		return
	}
	fmt.Fprintf(o.w, "seq=%d: %v\n", o.total.Sent+1, err)
}

// end prints the totals.
func (o *pingPrinter) end() {
	t := o.total
	switch {
	case o.json:
		o.line(t)
	case t.Answered == 0:
		fmt.Fprintf(o.w, "0 of %d answered\n", t.Sent)
	default:
		fmt.Fprintf(o.w, "%d of %d answered, round trip %.1f to %.1fms, mean %.1fms\n", t.Answered, t.Sent, t.Min, t.Max, t.Mean)
	}
}

// direct and notDirect end --until-direct.
func (o *pingPrinter) direct() {
	if yes := true; o.json {
		o.total.Sent++
		o.total.Direct = &yes
		o.line(o.total)
	}
}

func (o *pingPrinter) notDirect(why string) {
	if o.json {
		o.total.Direct, o.total.Why = new(bool), why
		o.line(o.total)
		return
	}
	if why != "" {
		why = ": " + why
	}
	fmt.Fprintf(o.w, "not direct after %v%s\n", untilDirect, why)
}

func (o *pingPrinter) line(v any) {
	enc := json.NewEncoder(o.w)
	enc.SetEscapeHTML(false) // the output is not for web pages
	enc.Encode(v)
}

// pause waits, and returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
