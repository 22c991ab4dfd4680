#!/bin/sh
# Says whether a kernel can run Northstar. Reads a kernel configuration: the file given as argument, else the running
# kernel's /proc/config.gz, /boot/config-RELEASE or /lib/modules/RELEASE/config.
#
# Exit status: 0 everything required is there, 1 something required is missing, 2 no configuration found.
set -u

usage() {
    echo "usage: $0 [KERNEL_CONFIG]"
    echo "Checks a kernel configuration (plain or gzip) for what Northstar needs."
}

case "${1:-}" in
-h | --help)
    usage
    exit 0
    ;;
esac

release=$(uname -r)
config=${1:-}
if [ -z "$config" ]; then
    for candidate in /proc/config.gz "/boot/config-$release" "/lib/modules/$release/config"; do
        if [ -r "$candidate" ]; then
            config=$candidate
            break
        fi
    done
fi
if [ -z "$config" ] || [ ! -r "$config" ]; then
    echo "$0: no readable kernel configuration found; name one as argument" >&2
    exit 2
fi

case "$config" in
*.gz) text=$(gzip -dc "$config") ;;
*) text=$(cat "$config") ;;
esac || exit 2

missing=0
section() { printf '\n%s\n' "$1"; }

# state OPTION: prints y, m or n
state() {
    value=$(printf '%s\n' "$text" | sed -n "s/^CONFIG_$1=\([ym]\)\$/\1/p")
    echo "${value:-n}"
}

required() {
    found=$(state "$1")
    case "$found" in
    y) printf '  %-28s built in\n' "$1" ;;
    m) printf '  %-28s module\n' "$1" ;;
    *)
        printf '  %-28s MISSING: %s\n' "$1" "$2"
        missing=$((missing + 1))
        ;;
    esac
}

optional() {
    found=$(state "$1")
    case "$found" in
    y) printf '  %-28s built in\n' "$1" ;;
    m) printf '  %-28s module\n' "$1" ;;
    *) printf '  %-28s off: %s\n' "$1" "$2" ;;
    esac
}

echo "Kernel configuration $config"

section "Packages (required)"
required BLK_DEV_LOOP "packages are attached as loop devices"
required SQUASHFS "the file system inside packages"
required SQUASHFS_ZLIB "packages compressed with gzip"

section "Integrity (required for keyed repositories, unless integrity = \"full-read\")"
required MD "device mapper"
required BLK_DEV_DM "device mapper"
required DM_VERITY "verified reads"
required CRYPTO_SHA256 "the hash of dm-verity"

section "Isolation (required)"
required NAMESPACES "namespaces"
required PID_NS "process id namespaces"
required IPC_NS "IPC namespaces"
required UTS_NS "host name namespaces"
required NET_NS "network namespaces"
required SECCOMP "system call filters"
required SECCOMP_FILTER "system call filters"
required TMPFS "/dev, /tmp and shared memory of containers"
required UNIX98_PTYS "/dev/pts of containers"
required UNIX "console and container sockets"
required EPOLL "the daemon's event loop"
required SIGNALFD "the daemon's signals"
required MEMFD_CREATE "repositories in memory and plans of containers"

section "Control groups (defaults, and manifests with limits)"
optional CGROUPS "no limits at all"
optional MEMCG "no memory limits"
optional FAIR_GROUP_SCHED "no cpu shares: whoever has more processes gets more of the processors"
optional CFS_BANDWIDTH "no cpu quota"
optional CPUSETS "no processor sets"
optional BLK_CGROUP "no block device limits"
optional CGROUP_PIDS "no limit on processes: a fork bomb reaches the host"
optional CGROUP_DEVICE "no device rules on cgroup v1"
optional CGROUP_BPF "no device rules on cgroup v2"

section "More"
optional SQUASHFS_ZSTD "packages compressed with zstd do not mount"
optional SQUASHFS_XZ "packages compressed with xz do not mount"
optional SQUASHFS_LZO "packages compressed with lzo do not mount"
optional SQUASHFS_LZ4 "packages compressed with lz4 do not mount"
optional SQUASHFS_XATTR "file labels inside packages are not seen"
optional SECURITY_SELINUX "no SELinux labels"
optional USER_NS "no user namespaces"

echo
if [ "$missing" -gt 0 ]; then
    echo "$missing required option(s) missing"
    exit 1
fi
echo "Everything required is there"
