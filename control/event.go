package control

import (
	"encoding/json"

	"nexd/mesh"
)

// EventType is the type of a line of the watch stream.
type EventType string

// The events. After gone, replaced and bye the stream ends.
const (
	EventMap       EventType = "map"       // a complete network map
	EventUnchanged EventType = "unchanged" // the node has the current map
	EventLive      EventType = "live"      // endpoints and presence
	EventKeepalive EventType = "keepalive" // the service is alive
	EventGone      EventType = "gone"      // the node was removed
	EventReplaced  EventType = "replaced"  // another watch of this node has taken over
	EventTwin      EventType = "twin"      // another agent waits until this one has gone; see Client.StandBy
	EventBye       EventType = "bye"       // the service is shutting down
)

// Last reports whether the stream ends after the event.
func (t EventType) Last() bool { return t == EventGone || t == EventReplaced || t == EventBye }

// Event is one line of the watch stream. Which fields are set depends on Type.
type Event struct {
	Type    EventType        `json:"type"`
	Map     *mesh.NetworkMap `json:"map,omitempty"`
	Version *mesh.Version    `json:"version,omitempty"` // of unchanged
	Seq     uint64           `json:"seq,omitempty"`     // of live: rises with every change
	Whole   bool             `json:"whole,omitempty"`   // of live: Nodes are all there are
	Nodes   []mesh.LiveNode  `json:"nodes,omitempty"`   // of live
	StandBy bool             `json:"standby,omitempty"` // of replaced: the service knows Client.StandBy
	Detail  string           `json:"detail,omitempty"`  // of gone, replaced and bye: a line for a person
}

// ParseEvent reads one line. An unknown type is not an error.
func ParseEvent(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, mesh.Errorf(mesh.Invalid, "control: watch line %q is not an event: %w", clip(oneLine(string(line[:min(len(line), 200)]))), err)
	}
	switch {
	case e.Type == "":
		return Event{}, mesh.Errorf(mesh.Invalid, "control: watch line without a type")
	case e.Type == EventMap && e.Map == nil:
		return Event{}, mesh.Errorf(mesh.Invalid, "control: map event without a map")
	case e.Type == EventMap && (e.Map.Epoch == "" || e.Map.Self.ID == "" || len(e.Map.Self.Addresses) == 0):
		return Event{}, mesh.Errorf(mesh.Invalid, "control: map event without version, node or address")
	case e.Type == EventUnchanged && e.Version == nil:
		return Event{}, mesh.Errorf(mesh.Invalid, "control: unchanged event without a version")
	}
	e.Detail = oneLine(e.Detail)
	return e, nil
}

// Line encodes the event, with a newline.
func (e Event) Line() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, mesh.Errorf(mesh.Internal, "control: event %s: %w", e.Type, err)
	}
	return append(b, '\n'), nil
}
