package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"nexd/internal/hostport"
)

// PACPath is where the proxy serves its auto-configuration file.
const PACPath = "/proxy.pac"

// Reach describes what the proxy reaches, for the auto-configuration file.
type Reach struct {
	Everything bool           // the proxy takes every address, the mesh's or not
	Names      []string       // of nodes
	Suffixes   []string       // domains whose names are the mesh's, without the dot in front
	Prefixes   []netip.Prefix // whose addresses are the mesh's
	Except     []string       // names and addresses that are never reached through the proxy: the mesh's own servers
}

// pac serves the auto-configuration file. It needs no password, since browsers fetch the file
// before they know one. A web page that makes a browser fetch it can neither read nor run it.
func (w *web) pac(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		explain(rw, http.StatusMethodNotAllowed, "%s is to be fetched by GET.", PACPath)
		return
	}
	self := r.Host
	if !plainHost(self) {
		self = w.addr.String()
	}
	var reach Reach
	if w.s.cfg.Reach != nil {
		reach = w.s.cfg.Reach()
	}
	h := rw.Header()
	h.Set("Content-Type", "application/x-ns-proxy-autoconfig")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	io.WriteString(rw, pacFile(self, reach))
}

// plainHost reports whether a Host header can be part of the script as it is.
func plainHost(s string) bool {
	return s != "" && len(s) < 256 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") == ""
}

// pacFile returns the script. It never resolves a host name: it knows the names of the mesh, and
// leaves all others to the browser.
func pacFile(self string, r Reach) string {
	via := fmt.Sprintf("SOCKS5 %s; PROXY %s", self, self)
	prefixes := []string{}
	for _, p := range r.Prefixes {
		prefixes = append(prefixes, fmt.Sprintf("[%s,%d]", groups(p.Addr()), p.Bits()))
	}
	direct, names := []string{}, []string{}
	for _, host := range r.Except {
		if a, ok := hostport.Literal(host); ok {
			direct = append(direct, groups(a))
		} else {
			names = append(names, strings.ToLower(strings.TrimSuffix(host, ".")))
		}
	}
	return fmt.Sprintf(pacScript, via, r.Everything, jsList(r.Names), jsList(r.Suffixes), strings.Join(prefixes, ","), jsList(names), strings.Join(direct, ","))
}

func jsList(words []string) string {
	b, err := json.Marshal(words)
	if err != nil || words == nil {
		return "[]"
	}
	return string(b)
}

// groups returns an address in the form that the script compares: a list of 16-bit numbers, two for
// IPv4 and eight for IPv6.
func groups(a netip.Addr) string {
	b := a.AsSlice()
	words := make([]string, len(b)/2)
	for i := range words {
		words[i] = fmt.Sprint(int(b[2*i])<<8 | int(b[2*i+1]))
	}
	return "[" + strings.Join(words, ",") + "]"
}

const pacScript = `// nexd: what is the mesh's goes through the proxy, everything else does not.
var via = %q;
var everything = %t;
var names = %s;
var suffixes = %s;
var prefixes = [%s];
var exceptNames = %s;
var exceptAddresses = [%s];

function words(h) {
  var m = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(h);
  return m ? [m[1] * 256 + +m[2], m[3] * 256 + +m[4]] : null;
}

function address(h) {
  var out = words(h), i, m;
  if (out) return out;
  h = h.replace(/^\[|\]$/g, "").replace(/%%.*$/, "");
  if (h.indexOf(":") < 0) return null;
  if (m = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(h)) {
    out = words(m[2]);
    h = m[1] + out[0].toString(16) + ":" + out[1].toString(16);
  }
  out = [];
  var halves = h.split("::"), head = halves[0] ? halves[0].split(":") : [];
  var tail = halves.length > 1 && halves[1] ? halves[1].split(":") : [];
  for (i = 0; i < head.length; i++) out.push(parseInt(head[i], 16));
  while (halves.length > 1 && out.length + tail.length < 8) out.push(0);
  for (i = 0; i < tail.length; i++) out.push(parseInt(tail[i], 16));
  return out.slice(0, 6).join() == "0,0,0,0,0,65535" ? out.slice(6) : out;
}

function within(a, p) {
  if (a.length != p[0].length) return false;
  for (var i = 0, bits = p[1]; bits > 0; i++, bits -= 16) {
    var drop = bits < 16 ? 16 - bits : 0;
    if (a[i] >> drop != p[0][i] >> drop) return false;
  }
  return true;
}

function ours(host) {
  var a = address(host), i;
  if (a) {
    for (i = 0; i < exceptAddresses.length; i++) if (a.join() == exceptAddresses[i].join()) return false;
    for (i = 0; i < prefixes.length; i++) if (within(a, prefixes[i])) return true;
    return everything;
  }
  for (i = 0; i < exceptNames.length; i++) if (host == exceptNames[i]) return false;
  for (i = 0; i < names.length; i++) if (host == names[i]) return true;
  for (i = 0; i < suffixes.length; i++) if (host.slice(-suffixes[i].length - 1) == "." + suffixes[i]) return true;
  return everything;
}

function FindProxyForURL(url, host) {
  return ours(host.toLowerCase().replace(/\.$/, "")) ? via : "DIRECT";
}
`
