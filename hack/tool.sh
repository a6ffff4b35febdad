#!/usr/bin/env bash
# Runs a tool that is pinned in hack/tools/NAME/go.mod: hack/tool.sh NAME [ARGUMENT]...
# Each tool has a module of its own, because their dependencies disagree. The binary is kept in the
# user's cache under the hash of the module's files, so another version is another binary.
set -euo pipefail

name=${1:?usage: hack/tool.sh NAME [ARGUMENT]...}
shift
module=$(cd "$(dirname "$0")/tools/$name" && pwd) || {
    echo "tool.sh: there is no tool $name in hack/tools" >&2
    exit 1
}
hash=$(cat "$module/go.mod" "$module/go.sum" <(go env GOVERSION) | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/scalableapp-operator/tools
binary=$cache/$name-$hash

build() {
    mkdir -p "$cache"
    exec 9>"$cache/$name.lock"
    flock 9
    [ ! -x "$binary" ] || return 0 # somebody else built it while we waited
    local package
    package=$(cd "$module" && go mod edit -json | sed -n '/"Tool"/,$s/.*"Path": "\(.*\)".*/\1/p' | head -n 1)
    echo "tool.sh: building $name (${package##*@}), once …" >&2
    CGO_ENABLED=0 GOFLAGS='' GOWORK=off go -C "$module" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$binary.tmp" "$package"
    mv "$binary.tmp" "$binary"
    echo "tool.sh: $name built in ${SECONDS}s" >&2
    exec 9>&-
}

[ -x "$binary" ] || build
exec "$binary" "$@"
