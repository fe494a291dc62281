package localapi

import (
	"net/http"
	"net/http/pprof"
)

// debug serves the Go runtime's profiles at /debug/pprof/, to whoever may use the
// control socket:
//
//	curl --unix-socket SOCKET http://nexd/debug/pprof/heap > heap.pprof
func debug(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
