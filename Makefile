# make help lists what there is to do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The operator's image for deploy.
IMG ?= scalableapp/operator:dev
TOOL := hack/tool.sh
CLUSTER := go -C test/cluster run .
# The modules that hold code of ours.
MODULES := . sample-app test/cluster

##@ The local cluster: Kubernetes on this machine, without Docker
.PHONY: up
up: ## Start everything: cluster, images, operator and a sample stack, and show it (GATEWAY=1: with a Gateway)
	@hack/up.sh

.PHONY: down
down: ## Take all of it down again; nothing stays but the cache
	@$(CLUSTER) down

.PHONY: status
status: ## Show the cluster and every ScalableApp in it
	@$(CLUSTER) status
	@hack/show.sh

##@ Your own cluster: KUBECONFIG says which
.PHONY: deploy
deploy: ## Install the operator with the image IMG=…, and POSTGRES_IMG=…, PGBOUNCER_IMG=…, REDIS_IMG=… for the data tier
	@hack/deploy.sh "$(IMG)"

.PHONY: undeploy
undeploy: ## Remove the operator; the ScalableApps and their CRD stay
	@hack/deploy.sh --remove

##@ Tests
.PHONY: test
test: test-unit test-integration test-e2e ## All tests

.PHONY: test-unit
test-unit: ## Tests that need nothing but Go, of all modules
	@hack/test-servers.sh
	go test $$(go list ./... | grep -v -e /test/integration -e /test/e2e)
	go -C sample-app test ./...
	go -C test/cluster test ./...

.PHONY: fuzz-rollout
fuzz-rollout: ## Look for a counterexample to the invariants of rollouts: CHECKS=20000 random worlds
	go test ./internal/rollout -run Invariants -rapid.checks=$(or $(CHECKS),20000) -timeout 60m

.PHONY: test-integration
test-integration: ## Tests against a real kube-apiserver and etcd
	KUBEBUILDER_ASSETS="$$($(CLUSTER) binaries --only kube)" go test ./test/integration/... -count=1 -timeout 40m

.PHONY: crash-sweep
crash-sweep: ## Stop the operator after each of its writes, in each way to cut over: the suite does it after one in four
	CRASH_SWEEP=all KUBEBUILDER_ASSETS="$$($(CLUSTER) binaries --only kube)" \
		go test ./test/integration -run CrashSweep -count=1 -timeout 40m -v | grep -E 'stopped after|^(---|ok|FAIL)|--- FAIL'

.PHONY: bench-noop
bench-noop: ## What an app at rest costs the operator: CPU time and API calls of a pass
	KUBEBUILDER_ASSETS="$$($(CLUSTER) binaries --only kube)" go test ./test/integration -run '^$$' -bench Noop -benchtime 500x

.PHONY: test-e2e
test-e2e: ## Tests on the local cluster; one that is not up is started, and taken down again (RUN=… picks tests)
	@hack/e2e.sh -run '$(or $(RUN),.)'

.PHONY: bench-bump
bench-bump: ## Requests sent, failed, p99 before and during a bump at E2E_RATE=50 requests/s, on the local cluster
	@E2E_BEFORE=$${E2E_BEFORE:-30s} hack/e2e.sh -run '^TestBumpUnderLoad$$'

.PHONY: bench-idle
bench-idle: ## Requests of the idle operator, counted at the API server for E2E_IDLE=10m, on the local cluster
	@E2E_IDLE=$${E2E_IDLE:-10m} hack/e2e.sh -run '^TestIdle$$'

.PHONY: bench-cutover
bench-cutover: ## The same bump by a plain Deployment and by each strategy: failed requests, p99, times, extra pods, writes; at E2E_RATE=50
	@E2E_BENCH=1 hack/e2e.sh -run '^TestBenchCutover$$'

.PHONY: bench-failover
bench-failover: ## Each way to lose the primary or the sessions' master, five times, beside Patroni's and Sentinel's default timing; takes over an hour
	@E2E_BENCH=1 hack/e2e.sh -timeout 2h -parallel 1 -run '^Test(BenchFailover|BenchRedisDownAfter|RedisFailover|BothEngines)$$'

##@ Development
.PHONY: build
build: ## Build the operator to bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

.PHONY: images
images: ## Build the container images; prints the archives
	@hack/images.sh

.PHONY: generate
generate: ## Generate deep copies and docs/api.md
	$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	mkdir -p docs && go run ./hack/apidocs api/v1alpha1 >docs/api.md

.PHONY: manifests
manifests: ## Generate the CRD, the operator's role and the chart's copies of both
	$(TOOL) controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd
	$(TOOL) controller-gen rbac:roleName=scalableapp-operator paths=./controllers/... output:rbac:artifacts:config=config/rbac
	mkdir -p charts/scalableapp-operator/files
	cp config/crd/apps.scalableapp.dev_scalableapps.yaml charts/scalableapp-operator/files/crd.yaml
	cp config/rbac/role.yaml charts/scalableapp-operator/files/role.yaml

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -s -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: lint
lint: ## Run the linters on all modules and the API linter on api/
	@bad=0; for module in $(MODULES); do \
		config=$$([ "$$module" = . ] && echo .golangci.yml || echo .golangci-tools.yml); \
		echo "golangci-lint: $$module ($$config)"; \
		(cd "$$module" && "$(CURDIR)/$(TOOL)" golangci-lint run --config "$(CURDIR)/$$config" ./...) || bad=1; \
	done; \
	echo "kube-api-linter: api (.golangci-kal.yml)"; \
	$(TOOL) golangci-lint run --config .golangci-kal.yml ./api/... || bad=1; \
	exit $$bad

.PHONY: verify
verify: ## Check what is not a test: format, vet, linters, generated files, go.mod, scripts
	@hack/verify.sh

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  \033[36m%-18s\033[0m%s\n", $$1, $$2}' $(MAKEFILE_LIST)
