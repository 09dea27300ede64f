package main

import (
	"testing"

	"portway/admin"
	"portway/doctor"
)

// TestDoctorNames: a name without a certificate is bad, one that cannot be renewed a warning.
func TestDoctorNames(t *testing.T) {
	t.Parallel()
	var all []admin.CertificateDetails
	for _, x := range []admin.Certificate{
		{Name: "good.example.com", State: "valid"},
		{Name: "old.example.com", State: "valid", LastError: "its DNS leads elsewhere"},
		{Name: "new.example.com", State: "failed", LastError: "its CAA records forbid it"},
		{Name: "soon.example.com", State: "pending"},
	} {
		all = append(all, admin.CertificateDetails{Certificate: x})
	}
	r := namesIn(all)
	if len(r) != 2 || r[0].Status != doctor.Warning || r[1].Status != doctor.Bad || r[1].What != "its CAA records forbid it" || r.Healthy() {
		t.Errorf("%v", r)
	}
}
