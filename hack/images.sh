#!/usr/bin/env bash
# Builds the container images and prints the path of each one's docker-archive on stdout, one a line.
# Progress goes to stderr. Nothing is built whose inputs have not changed.
#
# Usage: hack/images.sh [OPTION]... [NAME]...        NAME: postgres pgbouncer redis operator sample-app (default: all)
#   --tag TAG           tag of the images named (default: 17-3, 1-2, 8-2, dev, dev); the sample app reports it as its version
#   --build-arg K=V     passed to the Dockerfile, e.g. FAULT_ERROR_RATIO=0.3 for a broken sample app
#   --refresh           build anew on a new base: the way to take up Debian's security updates
#   --sizes             print name, size of the archive and path instead of the path alone
#
# Environment:
#   BUILDER             docker or buildah (default: docker where its daemon answers, else buildah).
#                       buildah and mmdebstrap are installed on Debian when they are missing; that needs root.
#   ARCH                target architecture of operator and sample-app (default: this machine's)
#   XDG_CACHE_HOME      archives, base and buildah's storage lie in scalableapp-operator/images below it
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/scalableapp-operator/images
ARCH=${ARCH:-$(go env GOARCH)}
BASE=debian:trixie-slim
RECIPE=2 # raise it when a change below must rebuild what is cached
TAG='' REFRESH='' SIZES=''
BUILD_ARGS=()
NAMES=()

exec 3>&1 1>&2 # stdout is for the paths; whatever else prints, prints to stderr

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

fail() {
    say "images.sh: $*"
    exit 1
}

# step WHAT COMMAND... runs the command, its output kept for the case that it fails, with a sign of life.
step() {
    local what=$1 began=$SECONDS beat=$((SECONDS + 20)) log=$CACHE/last-step.log
    shift
    say "$what …"
    "$@" >"$log" 2>&1 9>&- & # without the lock: what outlives us must not hold it
    STEP_PID=$!
    while kill -0 "$STEP_PID" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS >= beat)); then
            say "$what: still building… $((SECONDS - began))s"
            beat=$((SECONDS + 20))
        fi
    done
    if ! wait "$STEP_PID"; then
        tail -n 40 "$log"
        fail "$what failed after $((SECONDS - began))s; the whole output: $log"
    fi
    STEP_PID=''
    say "$what: done in $((SECONDS - began))s"
}
STEP_PID=''
trap 'if [ -n "$STEP_PID" ]; then kill "$STEP_PID" 2>/dev/null || true; fi' EXIT

parse() {
    while (($#)); do
        case $1 in
        --tag) TAG=${2:?--tag needs a value} && shift ;;
        --build-arg) BUILD_ARGS+=(--build-arg "${2:?--build-arg needs K=V}") && shift ;;
        --refresh) REFRESH=1 ;;
        --sizes) SIZES=1 ;;
        postgres | pgbouncer | redis | operator | sample-app) NAMES+=("$1") ;;
        -h | --help) sed -n '2,/^set -/{s/^# \{0,1\}//;/^set -/!p}' "$0" >&3 && exit 0 ;;
        *) fail "unknown argument $1 (see --help)" ;;
        esac
        shift
    done
    ((${#NAMES[@]})) || NAMES=(postgres pgbouncer redis operator sample-app)
}

choose_builder() {
    if [ -z "${BUILDER:-}" ]; then
        if docker info >/dev/null 2>&1; then BUILDER=docker; else BUILDER=buildah; fi
    fi
    [ "$BUILDER" = buildah ] || return 0
    if ! command -v buildah >/dev/null || ! command -v mmdebstrap >/dev/null; then
        step 'installing buildah and mmdebstrap' install_tools
    fi
    STORE=(--root "$CACHE/storage" --runroot "$CACHE/run" --storage-driver overlay)
    # overlay does not work on every file system (nor in every container); vfs does, it only copies more.
    if ! buildah "${STORE[@]}" images >/dev/null 2>&1; then
        STORE=(--root "$CACHE/storage-vfs" --runroot "$CACHE/run-vfs" --storage-driver vfs)
    fi
}

install_tools() {
    command -v apt-get >/dev/null || fail 'neither docker nor buildah here, and no apt-get to install buildah with'
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        buildah mmdebstrap debian-archive-keyring ca-certificates
}

# The base image as upstream names it, made of Debian's packages: no registry is needed.
make_base() {
    local archive=$CACHE/base-trixie-slim.tar
    if [ -n "$REFRESH" ] || [ ! -s "$archive" ]; then
        step "base: $BASE by mmdebstrap" bootstrap "$archive.tmp"
        mv "$archive.tmp" "$archive"
        sha256sum <"$archive" >"$archive.sha256"
        buildah "${STORE[@]}" rmi --force "localhost/$BASE" >/dev/null 2>&1 || true
    fi
    BASE_HASH=$(cat "$archive.sha256")
    if ! buildah "${STORE[@]}" images --quiet "localhost/$BASE" >/dev/null 2>&1; then
        local context=$CACHE/context/base
        rm -rf "$context" && mkdir -p "$context"
        ln "$archive" "$context/base.tar"
        printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' >"$context/Dockerfile"
        step "base: $BASE to buildah's storage" \
            buildah "${STORE[@]}" bud --isolation chroot --tag "localhost/$BASE" "$context"
    fi
}

# Recommended packages, manuals, message catalogues and documents stay out, as in upstream's slim image,
# also of what is installed on top later.
bootstrap() {
    mmdebstrap --variant=minbase --format=tar \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        trixie "$1"
}

# The number behind the dash goes up when a pod's template needs something new of the image: a node that has the
# older one would go on with it under the same tag, and the pod could not start.
default_tag() {
    case $1 in postgres) echo 17-3 ;; pgbouncer) echo 1-2 ;; redis) echo 8-2 ;; *) echo dev ;; esac
}

# prepare NAME TAG sets CONTEXT, DOCKERFILE and ARGS; it builds the static binary an image needs, since its
# Dockerfile only copies it (the one way that is the same with and without a golang base image).
prepare() {
    local name=$1 tag=$2
    ARGS=(--build-arg "TARGETARCH=$ARCH" "${BUILD_ARGS[@]}")
    CONTEXT=$CACHE/context/$name
    case $name in
    postgres | pgbouncer | redis)
        ARGS=("${BUILD_ARGS[@]}")
        CONTEXT=$ROOT/images/$name
        DOCKERFILE=$CONTEXT/Dockerfile
        ;;
    operator)
        DOCKERFILE=$ROOT/Dockerfile
        step "operator: binary $tag" go_build "$ROOT" ./cmd/operator operator "-X main.version=$tag"
        ;;
    sample-app)
        # The version is in the image's environment, so the binary and its layer are shared by all tags.
        ARGS+=(--build-arg "VERSION=$tag")
        DOCKERFILE=$ROOT/sample-app/Dockerfile
        step 'sample-app: binary' go_build "$ROOT/sample-app" ./cmd/shop shop ''
        ;;
    esac
}

go_build() {
    local module=$1 package=$2 binary=$3 ldflags=$4
    rm -rf "$CONTEXT" && mkdir -p "$CONTEXT/bin/linux/$ARCH"
    # No VCS stamp: a commit that does not change the code must not change the image.
    CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH GOWORK=off go -C "$module" build -trimpath -buildvcs=false \
        -ldflags "-s -w $ldflags" -o "$CONTEXT/bin/linux/$ARCH/$binary" "$package"
}

# input_hash REFERENCE: of everything that decides what the archive holds.
input_hash() {
    {
        echo "$RECIPE $BUILDER $ARCH $1 ${ARGS[*]}"
        [ "$CONTEXT" != "$ROOT/images/$name" ] || echo "${BASE_HASH:-}"
        sha256sum <"$DOCKERFILE"
        (cd "$CONTEXT" && find . -type f -print0 | sort -z | xargs -0 stat --format='%n %a' &&
            find . -type f -print0 | sort -z | xargs -0 sha256sum)
    } | sha256sum | cut -c1-16
}

with_buildah() {
    local reference=$1 archive=$2 flags=() id
    # A binary alone makes the same image each time. Not so Debian's: compiled Python knows its source's date.
    [ "$CONTEXT" = "$ROOT/images/$name" ] || flags=(--timestamp 0 --arch "$ARCH")
    buildah "${STORE[@]}" bud --isolation chroot --network host --pull-never "${flags[@]}" "${ARGS[@]}" \
        --file "$DOCKERFILE" --iidfile "$CACHE/iid" "$CONTEXT"
    id=$(cat "$CACHE/iid")
    # By id: an image that buildah has given a name of its own would carry that name into the archive.
    buildah "${STORE[@]}" push "$id" "docker-archive:$archive:$reference"
    buildah "${STORE[@]}" rmi "$id"
}

with_docker() {
    local reference=$1 archive=$2
    docker build ${REFRESH:+--pull --no-cache} "${ARGS[@]}" --file "$DOCKERFILE" --tag "$reference" "$CONTEXT"
    docker save --output "$archive" "$reference"
}

build() {
    local name=$1 tag=${TAG:-$(default_tag "$1")}
    local reference=scalableapp/$name:$tag archive
    prepare "$name" "$tag"
    archive=$CACHE/$name-$(input_hash "$reference").tar
    if [ -s "$archive" ] && { [ -z "$REFRESH" ] || [ "$BUILDER" = buildah ]; }; then
        touch "$archive" # in use: kept from the sweep
        say "$name: $reference is up to date"
    else
        rm -f "$archive.tmp"
        step "$name: $reference" "with_$BUILDER" "$reference" "$archive.tmp"
        mv "$archive.tmp" "$archive"
    fi
    if [ -n "$SIZES" ]; then
        printf '%-12s %5d MB  %s\n' "$name" $(($(stat --format=%s "$archive") / 1000000)) "$archive" >&3
    else
        echo "$archive" >&3
    fi
}

parse "$@"
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock --nonblock 9 || { say 'waiting for another images.sh' && flock 9; }
choose_builder
for name in "${NAMES[@]}"; do
    case $name in postgres | pgbouncer | redis) [ "$BUILDER" != buildah ] || [ -n "${BASE_HASH:-}" ] || make_base ;; esac
    build "$name"
done
find "$CACHE" -maxdepth 1 -name '*.tar' ! -name 'base-*' -mtime +14 -delete
