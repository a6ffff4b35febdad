# Sourced by the scripts of this folder; works in the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cluster() { go -C test/cluster run . "$@"; }

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# local_cluster points kubectl at the cluster that `make up` starts.
local_cluster() { eval "$(cluster env)"; }

# any_cluster leaves KUBECONFIG as it is and sees to it that there is a kubectl. Without a kubeconfig
# of the user's, the local cluster is meant.
any_cluster() {
    if [ -z "${KUBECONFIG:-}" ] && [ ! -e "$HOME/.kube/config" ] && [ -e .cluster/kubeconfig ]; then
        local_cluster
    elif ! command -v kubectl >/dev/null; then
        PATH="$(cluster binaries --only kube):$PATH"
    fi
}
