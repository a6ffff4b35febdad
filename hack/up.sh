#!/usr/bin/env bash
# Starts the local cluster with the operator and the sample stack, and shows what there is.
#   hack/up.sh               all of it
#   hack/up.sh --no-sample   cluster, images and operator: what the end-to-end tests need
# Environment: NODES=1 is the number of nodes; GATEWAY=1 adds the Gateway API and a Gateway to lead traffic
# through. A second run brings up to date what has changed.
. "$(dirname "$0")/env.sh"

# The sample app is built in two versions, so that there is something to upgrade to.
build_images() {
    hack/images.sh postgres pgbouncer redis operator
    hack/images.sh --tag 1.0.0 sample-app
    hack/images.sh --tag 1.1.0 sample-app
}

UP=(up --nodes "${NODES:-1}")
if [ "${GATEWAY:-0}" != 0 ]; then UP+=(--gateway); fi

# Kubernetes is built, and the cluster started, while the images are built. On a machine that lacks
# Debian's packages both would call apt-get, which tolerates no other: there only the builds overlap.
start_cluster_and_images() {
    local archives images=0
    archives=$(mktemp)
    build_images >"$archives" 2> >(sed -u 's/^/    images  /' >&2) &
    if command -v containerd >/dev/null; then
        cluster "${UP[@]}" || { kill $! && fail 'the cluster did not start; see above'; }
        wait $! || images=$?
    else
        cluster binaries >/dev/null || { kill $! && fail 'Kubernetes could not be built; see above'; }
        wait $! || images=$?
        [ "$images" != 0 ] || cluster "${UP[@]}"
    fi
    [ "$images" = 0 ] || fail 'the images could not be built; see above'
    mapfile -t ARCHIVES <"$archives"
    rm "$archives"
}

sample() {
    kubectl create namespace shop --dry-run=client -o yaml | kubectl apply --server-side -f - >/dev/null
    kubectl label --overwrite namespace shop pod-security.kubernetes.io/enforce=restricted >/dev/null
    kubectl -n shop apply --server-side -f config/samples/shop.yaml
}

# wait_ready prints Ready's message whenever it changes, and a sign of life when it does not.
wait_ready() {
    local began=$SECONDS beat=$SECONDS last='' now generation observed status
    local ready='{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].status}'
    local message='{.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}'
    while ((SECONDS - began < 600)); do
        # An API server that does not answer once is no reason to give up.
        read -r generation observed status < <(kubectl -n shop get sapp shop -o jsonpath="$ready" && echo) || true
        now=$(kubectl -n shop get sapp shop -o jsonpath="$message") || true
        if [ "$now" != "$last" ] || ((SECONDS - beat >= 15)); then
            say "shop  ${now:-the operator has not seen it yet}"
            last=$now beat=$SECONDS
        fi
        if [ "$generation" = "$observed" ] && [ "$status" = True ]; then return; fi
        sleep 2
    done
    hack/show.sh shop
    fail 'shop is not Ready after 10 minutes; its state is above, `kubectl -n shop describe sapp shop` tells more'
}

next_steps() {
    local url
    url=http://$(kubectl -n shop get service shop -o jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')
    cat <<END

The shop answers at $url from this machine:
    curl -s $url/readyz

kubectl for this cluster:
    eval "\$(go -C test/cluster run . env)"

What to try:
    kubectl -n shop get sapp -w                    # watch it while you try the rest
    make build; bin/kubectl-scalableapp -n shop get -w   # the same as a tree, live; see docs/kubectl-plugin.md
    kubectl -n shop patch sapp shop --type merge -p '{"spec":{"app":{"image":"scalableapp/sample-app:1.1.0"}}}'   # upgrade
    kubectl -n shop scale sapp shop --replicas 4   # more pods
    kubectl -n shop delete pod shop-db-0           # lose a database pod
    kubectl explain sapp.spec                      # what else there is to say

make status shows it again, make down takes it all away.
END
}

start_cluster_and_images
local_cluster
say 'loading the images into the nodes'
cluster load-image "${ARCHIVES[@]}"
say 'installing the operator in the namespace scalableapp-system'
for archive in "${ARCHIVES[@]}"; do
    case $archive in */operator-*) id=$(basename "$archive" .tar) ;; esac
done
hack/deploy.sh scalableapp/operator:dev "$id" | sed 's/^/    /'
if [ "${1:-}" = --no-sample ]; then
    say 'cluster and operator are up'
    exit
fi
say 'applying config/samples/shop.yaml in the namespace shop'
sample
wait_ready
say 'shop is Ready'
hack/show.sh shop
next_steps
say "up in ${SECONDS}s"
