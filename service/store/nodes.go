package store

import (
	"context"
	"net/netip"
	"time"

	"nexd/mesh"
)

// Device is a node as its administrator sees it.
type Device struct {
	ID        mesh.NodeID
	Name      string
	Hostname  string // as the node reported it when it registered
	Key       mesh.Key
	OS        string
	Version   string
	Addresses []netip.Addr   // IPv4 first
	Prefixes  []mesh.Holding // held, advertised or not
	Endpoints []netip.AddrPort
	Created   time.Time
	LastSeen  time.Time // zero = never
}

// Registration is what a node asks for when it joins. The service has checked
// before that the node possesses the private key to Key.
type Registration struct {
	Key             mesh.Key
	RegistrationKey string // secret text; not needed, and not used up, when Key is known
	Hostname        string
	OS              string
	Version         string
	Prefixes        []netip.Prefix   // to hold and to advertise; whole wanted state
	Endpoints       []netip.AddrPort // at most MaxEndpoints
}

// Registered is what it gets. A node key the store already knows gets the same
// node, name and addresses again.
type Registered struct {
	Organization Organization
	Node         mesh.Node // Online is for the service to set
	New          bool
}

// Register adds a node or finds it again, in one transaction: the use of the
// registration key, name, addresses and prefixes are all taken or none is.
// Errors: mesh.Denied without a usable registration key, mesh.Conflict when the
// node key is known in another organization, and what SetAdvertised says.
func (s *Store) Register(ctx context.Context, r Registration) (Registered, error) {
	return Registered{}, errNotYet
}

// NodeByKey finds a node, in whatever organization, by its public key.
func (s *Store) NodeByKey(ctx context.Context, key mesh.Key) (mesh.OrgID, mesh.NodeID, error) {
	return "", "", errNotYet
}

// Devices lists the nodes of an organization by name.
func (s *Store) Devices(ctx context.Context, org mesh.OrgID) ([]Device, error) {
	return nil, errNotYet
}

// Device finds a node by its ID or its name.
func (s *Store) Device(ctx context.Context, org mesh.OrgID, idOrName string) (Device, error) {
	return Device{}, errNotYet
}

// RemoveDevice removes a node, named by ID or name: its prefixes are released,
// its addresses rest, its sessions and endpoints are gone, and its key is unknown
// again. The result is the device as it was.
func (s *Store) RemoveDevice(ctx context.Context, org mesh.OrgID, idOrName string) (Device, error) {
	return Device{}, errNotYet
}

// Touch notes that nodes were seen now. It raises no counter.
func (s *Store) Touch(ctx context.Context, org mesh.OrgID, nodes ...mesh.NodeID) error {
	return errNotYet
}

// MaxEndpoints is how many endpoints a node may have; more would make a node's
// peers send to too many addresses.
const MaxEndpoints = 16

// SetEndpoints replaces the endpoints of a node and notes it as seen. It raises
// the endpoint counter if they differ from before, and never the map's.
func (s *Store) SetEndpoints(ctx context.Context, org mesh.OrgID, node mesh.NodeID, endpoints []netip.AddrPort) error {
	return errNotYet
}
