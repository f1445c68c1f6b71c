# What the other scripts agree on: names, folders and addresses.
# shellcheck shell=bash disable=SC2034

NAME=lab
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KUBE_VERSION=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$HERE/kube/go.mod")
STATE=/var/lib/$NAME          # everything of a running cluster; "down" removes it
CACHE=/var/cache/$NAME        # the built binaries and images; kept by "down"
# kube.xz, pause.xz and the key of their sources; a folder beside the checkout unless told. May be absent.
PREBUILT=${LAB_PREBUILT:-$HERE/../../../shared/cluster/prebuilt}
KUBECONFIG_ADMIN=$STATE/kubeconfig
PATH=$CACHE/bin:$PATH

# Addresses: all from 198.18.0.0/15, the range set aside for tests of network
# devices (RFC 2544), so none is ever a real host.
RANGE=198.18.0.0/15
LAPTOP_IP=198.18.0.1          # the root namespace's end of the only link
API_IP=198.18.0.2             # node 1's end: the API server as the laptop sees it
API_PORT=6443
SERVICES=198.19.0.0/20
API_SERVICE_IP=198.19.0.1
DNS_IP=198.19.0.10
PODS=198.18.64.0/18
node_ip() { echo "198.18.1.$1"; }            # on the link between the nodes
node_pods() { echo "198.18.$((64 + $1)).0/24"; }
node_name() { echo "$NAME-$1"; }
node_dir() { echo "$STATE/node$1"; }

CGROUP_ROOT=/$NAME            # node N's pods live in cgroup /$NAME/N/kubepods
CGROUP_FS=/sys/fs/cgroup
