package service

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestALinkThatIsASecretIsNotLogged(t *testing.T) {
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /invite/{token}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("token") == "panic-s3cret" {
			panic("oops")
		}
	})
	h := logged(log, recovered(log, mux))
	for _, path := range []string{"/invite/s3cret", "/invite/panic-s3cret"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	if strings.Contains(lines.String(), "s3cret") || strings.Count(lines.String(), "/invite/{token}") < 2 {
		t.Errorf("log:\n%s", &lines)
	}
}
