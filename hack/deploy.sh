#!/usr/bin/env bash
# Installs the operator into the cluster of KUBECONFIG, with nothing but kubectl: hack/deploy.sh IMAGE [ID]
# ID is anything that changes with the content of an image whose tag stays; it makes the pods new.
# POSTGRES_IMG, PGBOUNCER_IMG and REDIS_IMG are the images of the data tier, where they are not those that the operator knows.
# hack/deploy.sh --remove takes the operator away. ScalableApps, their stacks and the CRD stay.
. "$(dirname "$0")/env.sh"
any_cluster

image=${1:?usage: hack/deploy.sh IMAGE [ID] | --remove}
id=${2:-}

if [ "$image" = --remove ]; then
    kubectl delete --ignore-not-found -k config/manager
    kubectl delete --ignore-not-found -k config/rbac
    kubectl delete --ignore-not-found -f config/default/namespace.yaml
    exit
fi

edits=(-e "s|image: scalableapp/operator:dev$|image: $image|")
for kind in postgres pgbouncer redis; do
    name=${kind^^}_IMG
    if [ -n "${!name:-}" ]; then
        edits+=(-e "s|^\( *\)- --leader-elect$|&\n\1- --$kind-image=${!name}|")
    fi
done
if [ -n "$id" ]; then
    edits+=(-e "s|^\( *\)kubectl.kubernetes.io/default-container: operator$|&\n\1apps.scalableapp.dev/image-id: $id|")
fi
kubectl kustomize config/default | sed "${edits[@]}" | kubectl apply --server-side --force-conflicts -f -
kubectl wait --for condition=Established --timeout=60s crd/scalableapps.apps.scalableapp.dev
if ! kubectl -n scalableapp-system rollout status deployment/scalableapp-operator --timeout=180s; then
    kubectl -n scalableapp-system get pods -o wide >&2
    kubectl -n scalableapp-system logs deployment/scalableapp-operator --tail=20 >&2 || true
    fail 'the operator did not become ready; its pods and its last log lines are above'
fi
