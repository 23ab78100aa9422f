#!/usr/bin/env bash
# A node of the cluster: the first process in namespaces of its own (mounts, network, processes), started by node.py as
# `node.sh NAME FOLDER PROGRAMS CACHE SERVICES`. When it ends, the kernel ends every process, mount and interface of the node.
set -euo pipefail
name=$1 folder=$2 programs=$3 cache=$4 services=$5
export PATH=$programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

read -r _  # until node.py has given us our interface
exec </dev/null

cover() {  # cover DIRECTORY: an empty one for this node, without losing sight of the cluster's own folder
    exec 9<"$cache"
    mount -t tmpfs -o mode=0755 tmpfs "$1"
    [[ -e $cache ]] || { mkdir -p "$cache"; mount --rbind "/proc/$$/fd/9" "$cache"; }
    exec 9<&-
}

pretend() {  # pretend SYSCTL VALUE: what kubelet writes to the whole machine's settings ends here
    local file=/run/sysctl/$1
    [[ -e /proc/sys/$1 ]] || return 0
    mkdir -p "$(dirname "$file")"
    echo "$2" >"$file"
    mount --bind "$file" "/proc/sys/$1"
}

keep() {  # keep NAME COMMAND...: run it again when it ends, as systemd would
    while :; do
        "${@:2}" >>"$folder/$1.log" 2>&1 || true
        sleep 1
    done
}

mount --make-rshared /
hostname "$name"
cover /run
cover /var/lib
cover /var/log
mkdir -p /var/lib/kubelet /var/lib/cni /run/netns
mount --bind "$folder/kubelet" /var/lib/kubelet
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000
echo 1 >/proc/sys/net/ipv4/ip_forward

keep containerd containerd --config "$folder/containerd.toml" &
until ctr --address "$folder/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
keep kubelet kubelet --config "$folder/kubelet.json" --kubeconfig "$folder/kubelet.conf" --hostname-override "$name" \
    --node-ip "$(ip -4 -o address show eth0 | awk '{sub("/.*", "", $4); print $4}')" &
keep kube-proxy kube-proxy --config "$folder/kube-proxy.json" --hostname-override "$name" &
# It enforces network policies, and does nothing else; compiled by `python -m scripts.cluster policies`.
until command -v kube-router >/dev/null; do sleep 1; done
keep kube-router kube-router --kubeconfig "$folder/kube-router.conf" --hostname-override "$name" --run-firewall \
    --run-router=false --run-service-proxy=false --enable-cni=false --service-cluster-ip-range "$services" &
wait
