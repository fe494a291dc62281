package mesh_test

import (
	"testing"

	"nexd/mesh"
)

func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		role                                           mesh.Role
		valid, inspects, approves, manages, owner, adm bool
	}{
		{mesh.RoleOwner, true, true, true, true, true, true},
		{mesh.RoleAdmin, true, true, true, true, false, true},
		{mesh.RoleMember, true, false, true, false, false, false},
		{mesh.RoleAuditor, true, true, false, false, false, false},
		{"", false, false, false, false, false, false},
		{"emperor", false, false, false, false, false, false},
	} {
		r := tt.role
		if r.Valid() != tt.valid || r.Inspects() != tt.inspects || r.Approves() != tt.approves || r.Manages() != tt.manages {
			t.Errorf("%q: valid %v, inspects %v, approves %v, manages %v", r, r.Valid(), r.Inspects(), r.Approves(), r.Manages())
		}
		if err := r.Check(); (err == nil) != tt.valid || err != nil && mesh.KindOf(err) != mesh.Invalid {
			t.Errorf("%q: Check = %v", r, err)
		}
		if r.Grants(mesh.RoleOwner) != tt.owner || r.Grants(mesh.RoleAdmin) != tt.adm || r.Grants(mesh.RoleMember) != tt.adm {
			t.Errorf("%q grants owner %v, admin %v, member %v", r, r.Grants(mesh.RoleOwner), r.Grants(mesh.RoleAdmin), r.Grants(mesh.RoleMember))
		}
	}
}
