#!/usr/bin/env bash
# Checks what is not a test. Every check is made, also after one has failed, and says the way out.
. "$(dirname "$0")/env.sh"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
FAILED=()

# check WHAT WAY_OUT COMMAND...: the command prints what is wrong and fails.
check() {
    local what=$1 way_out=$2 began=$SECONDS
    shift 2
    if "$@" >"$tmp/log" 2>&1; then
        say "ok    $what ($((SECONDS - began))s)"
    else
        cat "$tmp/log"
        say "FAIL  $what. The way out: $way_out"
        FAILED+=("$what")
    fi
}

# all_modules are the folders of all go.mod files that are, or are about to be, committed.
all_modules() { git ls-files -co --exclude-standard 'go.mod' '*/go.mod' | xargs -n1 dirname; }

formatted() {
    local files
    files=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -s -l)
    echo "$files"
    [ -z "$files" ]
}

vetted() {
    local bad=0
    for module in . sample-app test/cluster; do go -C "$module" vet ./... || bad=1; done
    return $bad
}

linted() { make lint; }

scripts_parse() {
    local bad=0 file
    while IFS= read -r file; do
        head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b' || continue
        bash -n "$file" || bad=1
    done < <(git ls-files -co --exclude-standard)
    return $bad
}

deep_copies() {
    hack/tool.sh controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/... output:object:dir="$tmp"
    diff -u api/v1alpha1/zz_generated.deepcopy.go "$tmp/zz_generated.deepcopy.go"
}

crd() {
    hack/tool.sh controller-gen crd paths=./api/... output:crd:artifacts:config="$tmp"
    diff -u config/crd/apps.scalableapp.dev_scalableapps.yaml "$tmp/apps.scalableapp.dev_scalableapps.yaml" &&
        cmp config/crd/apps.scalableapp.dev_scalableapps.yaml charts/scalableapp-operator/files/crd.yaml
}

role() {
    hack/tool.sh controller-gen rbac:roleName=scalableapp-operator paths=./controllers/... output:rbac:artifacts:config="$tmp"
    diff -u config/rbac/role.yaml "$tmp/role.yaml" &&
        cmp config/rbac/role.yaml charts/scalableapp-operator/files/role.yaml
}

api_docs() {
    go run ./hack/apidocs api/v1alpha1 >"$tmp/api.md"
    diff -u docs/api.md "$tmp/api.md"
}

tidy() {
    local bad=0
    for module in $(all_modules); do
        go -C "$module" mod tidy -diff || { echo "in $module" && bad=1; }
    done
    return $bad
}

# A path of one machine, or the host of a registry that a machine was pointed at, works nowhere else.
portable() {
    local hosts
    hosts=$(go env GOPROXY | tr ',|' '\n\n' | sed -nE 's|^https?://([^/]*@)?([^/:]+).*|\2|p' | sed 's/\./\\./g' | paste -sd'|')
    ! git grep -nIE "(^|[^[:alnum:]_.-])/(root|work|home/[a-z]+)/${hosts:+|$hosts}" -- . ':!LICENSE'
}

check 'Go code is formatted' 'make fmt' formatted
check 'go vet' 'mend what is listed above' vetted
check 'linters' 'mend what is listed above; make lint runs them alone' linted
check 'deep copies are generated' 'make generate, and commit what it changes' deep_copies
check 'CRD is generated, and the chart has the same' 'make manifests, and commit what it changes' crd
check 'role is generated, and the chart has the same' 'make manifests, and commit what it changes' role
check 'docs/api.md is generated' 'make generate, and commit what it changes' api_docs
check 'go.mod and go.sum are tidy' 'go mod tidy in the module that is named above' tidy
check 'shell scripts parse' 'mend the line that is listed above' scripts_parse
check 'no path or registry of one machine' 'use a path relative to the repository, or a variable' portable

if ((${#FAILED[@]})); then
    say "${#FAILED[@]} of the checks failed:"
    printf '        %s\n' "${FAILED[@]}"
    exit 1
fi
say 'all checks passed'
