# Needs Go, make and a shell. `make help` lists the targets.
GO       ?= go
# CI says GOTEST=internal/gotest/gotest, which tries a second time what fails.
GOTEST   ?= $(GO) test
BIN      := bin
export CGO_ENABLED ?= 0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
LDFLAGS  := -s -w
FUZZTIME ?= 10s
SOAK     ?= 5
# The race detector needs a C compiler.
PLATFORMS := linux/amd64 linux/arm64 linux/arm darwin/amd64 darwin/arm64 windows/amd64

.PHONY: help build demo test race lint e2e soak fuzz bench bench-quick bench-build bench-go cover cross notices clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build static binaries into bin/
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

demo: build ## run service, router and laptop on this machine and fetch a page through the mesh
	@$(GO) run ./examples/demo -bin $(BIN)

test: ## run all tests that need only Go
	$(GOTEST) ./...

race: ## run them under the race detector
	CGO_ENABLED=1 $(GOTEST) -race ./...

lint: ## run gofmt, vet, staticcheck and the architecture checks, and build for every platform
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "not gofmt-ed:" $$out; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 ./internal/archtest
	@$(MAKE) --no-print-directory cross

cross: ## compile for every supported platform
	@out=$$(mktemp -d); trap 'rm -rf '$$out EXIT; for p in $(PLATFORMS); do echo "build $$p"; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $$out/ ./cmd/... || exit 1; done

e2e: build ## test the real binaries with real clients; root creates namespaces, Docker is used if it runs
	NEXD_E2E=1 NEXD_BIN=$(abspath $(BIN)) $(GOTEST) -count=1 -parallel 3 -timeout 20m ./e2e/... ./examples/... ./bench/...

soak: build ## for hours: run every test SOAK times under the race detector, then e2e SOAK times with its long tests
	CGO_ENABLED=1 $(GOTEST) -race -count=$(SOAK) -timeout 2h ./...
	NEXD_E2E=1 NEXD_E2E_LONG=1 NEXD_BIN=$(abspath $(BIN)) $(GOTEST) -count=$(SOAK) -parallel 3 -timeout 4h ./e2e/... ./examples/... ./bench/...

fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; done

bench: bench-build ## compare nexd with its baselines in namespaces (root, < 30 min); BENCHFLAGS="-h" lists the flags
	$(BIN)/bench/bench $(BENCHFLAGS)

bench-quick: bench-build ## a shorter comparison (root, < 3 min)
	$(BIN)/bench/bench -quick $(BENCHFLAGS)

bench-build: # with symbols, for profiles; the code is the same
	@mkdir -p $(BIN)/bench
	$(GO) build -trimpath -o $(BIN)/bench/ ./cmd/nexd ./cmd/nexservice ./bench/...

bench-go: ## run the Go benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchmem ./...

cover: ## measure test coverage
	$(GO) test -coverprofile=cover.out ./... && $(GO) tool cover -func=cover.out | tail -1

notices: ## write THIRD_PARTY_NOTICES from the linked modules
	$(GO) run ./internal/notices > THIRD_PARTY_NOTICES

clean: ## remove the files of the other targets
	rm -rf $(BIN) cover.out
