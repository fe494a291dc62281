package people

import (
	"context"
	"net/netip"
	"time"

	"nexd/control"
	"nexd/mesh"
)

// DeviceRequest is a node that has proved Key and waits for a person.
type DeviceRequest struct {
	Key                   mesh.Key
	Hostname, OS, Version string
	Prefixes              []netip.Prefix
	From                  netip.Addr
}

// StartDevice makes the codes of a device login. One before of the same node key
// that is still open ends.
func (p *People) StartDevice(ctx context.Context, r DeviceRequest) (control.DeviceLogin, error) {
	return control.DeviceLogin{}, errUnbuilt
}

// PendingDevice shows who waits with a user code, written in any way that a person
// may: case, blanks and dashes do not matter. An unknown or expired one is
// mesh.NotFound; too many wrong ones are mesh.Exhausted.
func (p *People) PendingDevice(ctx context.Context, c Caller, userCode string) (control.PendingNode, error) {
	return control.PendingNode{}, errUnbuilt
}

// ApproveDevice lets the node that waits with the code join one of the caller's
// organizations ("" = the default one). A code is approved or denied once: the
// second answer is mesh.Conflict.
func (p *People) ApproveDevice(ctx context.Context, c Caller, userCode, org string) (control.PendingNode, Org, error) {
	return control.PendingNode{}, Org{}, errUnbuilt
}

// DenyDevice tells the node that waits with the code that it may not join.
func (p *People) DenyDevice(ctx context.Context, c Caller, userCode string) (control.PendingNode, error) {
	return control.PendingNode{}, errUnbuilt
}

// PollDevice answers a waiting node that has proved key: an error with one of
// control's device reasons until a person has approved.
func (p *People) PollDevice(ctx context.Context, deviceCode string, key mesh.Key, from netip.Addr) (control.DeviceToken, error) {
	return control.DeviceToken{}, errUnbuilt
}

// approvalLife is how long an approved code may be used to register.
const approvalLife = 10 * time.Minute
