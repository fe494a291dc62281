package node

import (
	"reflect"
	"slices"
	"testing"

	"nexd/tunnel/underlay"
)

// Whatever the underlay drops the status counts.
func TestStatusCountsAllThatIsDropped(t *testing.T) {
	other := []string{"Attributed", "Deferred", "Probes", "SendErrors", "ReceiveErrors", "ReportsSent", "ReportsReceived", "Narrowed", "Left"}
	all := reflect.TypeFor[underlay.Stats]()
	for i := range all.NumField() {
		var s underlay.Stats
		reflect.ValueOf(&s).Elem().Field(i).SetUint(7)
		if got := dropped(s); (got == Dropped{}) != slices.Contains(other, all.Field(i).Name) {
			t.Errorf("with %s there is %+v", all.Field(i).Name, got)
		}
	}
}
