package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// chromiumClients are a browser that uses the proxy as SOCKS5, as HTTP and with the
// auto-configuration file, and fetches by address and by mesh name.
func chromiumClients(t *testing.T, w *world, laptop *node) []stockClient {
	t.Helper()
	home := w.ownDir("chromium")
	var clients []stockClient
	for _, way := range []struct{ name, flag string }{
		{"SOCKS5", "--proxy-server=socks5://" + laptop.proxy},
		{"HTTP", "--proxy-server=http://" + laptop.proxy},
		{"PAC", "--proxy-pac-url=http://" + laptop.proxy + "/proxy.pac"},
	} {
		for _, page := range []string{"http://172.24.0.10/", "http://node1.nexd.internal:8088/"} {
			args := []string{"env", "HOME=" + home, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking",
				"--user-data-dir=" + filepath.Join(home, way.name), way.flag, "--dump-dom", page}
			clients = append(clients, stockClient{"chromium " + way.name + " " + strings.Trim(page[7:], "/"), marker, args})
		}
	}
	return clients
}
