package exampletest

import (
	"fmt"
	"strings"
	"testing"

	"portway/internal/dockertest"
)

// A customer's domain has a certificate when its first visitor comes; for a stranger's
// the CA hears nothing. The CA is a real ACME server, as in TestLetsEncrypt.
func TestOnDemand(t *testing.T) {
	ca, ports, useCA := realCA(t)
	// Sequential: both versions publish the ports that the CA comes by.
	for version, command := range composes(t) {
		t.Run(version, func(t *testing.T) {
			// All names would be those of the other tests on this engine, too.
			domain := strings.ToLower(dockertest.Name("demand")) + ".example.com"
			pattern := "[a-z]+[.]" + strings.ReplaceAll(domain, ".", "[.]")
			e := prepare(t, "on-demand", command, func(compose string) string {
				return useCA(strings.Replace(compose, `".+"`, `"`+pattern+`"`, 1))
			})
			e.http, e.https = ports[0], ports[1]
			customer, stranger := "www."+domain, "stranger."+domain
			e.env = []string{"EMAIL=me@example.com", "CUSTOMERS=shop." + domain + "," + customer}
			e.up(t)
			before := ca.Orders()
			c := e.client(t, ca.Roots())
			if f := e.reaches(t, c, customer, "/"); f.Scheme != "https" || !strings.HasPrefix(f.Host, customer) {
				t.Errorf("whoami saw %+v", f)
			}
			if n := ca.Orders() - before; n != 1 {
				t.Errorf("%d orders for a customer", n)
			}
			_, err := c.Get(fmt.Sprintf("https://%s:%d/", stranger, e.https))
			if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("a stranger's domain: %v", err)
			}
			if n := ca.Orders() - before; n != 1 {
				t.Errorf("%d orders after a stranger", n)
			}
		})
	}
}
