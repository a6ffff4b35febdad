#!/usr/bin/env bash
# Runs the end-to-end tests on the local cluster: hack/e2e.sh [FLAG OF GO TEST]...
# A cluster that is up is used and left up (a gateway, which they need, is added); one that this script starts
# is taken down again.
. "$(dirname "$0")/env.sh"

if [ -z "$(find test/e2e -name '*_test.go' 2>/dev/null)" ]; then
    echo 'e2e.sh: there are no end-to-end tests yet (test/e2e)'
    exit
fi
if ! [ -e .cluster/kubeconfig ] || ! cluster kubectl get --raw /readyz >/dev/null 2>&1; then
    trap 'cluster down' EXIT
fi
NODES=${NODES:-2} GATEWAY=1 hack/up.sh --no-sample
local_cluster
# The tests mostly wait: more of them at a time than there are cores.
go test ./test/e2e/... -count=1 -timeout 60m -parallel "${PARALLEL:-4}" -v "$@"
