#!/bin/busybox sh
# shellcheck shell=dash
# First process of the guest. Mounts the host's tree read-only below an overlay, everything a system has on
# top of it, and hands over to the agent. Messages go to the kernel console, which the host shows on failure.

/bin/busybox --install -s /bin
export PATH=/bin

fail() {
    echo "init: $*"
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
# As udev does; bash opens what is between `<(` and `)` by these.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr

while read -r module; do
    insmod "/modules/$module" || fail "cannot load $module"
done < /modules/load

# cgroups VERSION: the control groups below the new root, all controllers in version 2, or all in version 1 and version
# 2 beside them without any.
cgroups() {
    if [ "$1" = 2 ]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup || fail "cannot mount cgroup2"
        echo "+cpuset +cpu +io +memory +pids" > sys/fs/cgroup/cgroup.subtree_control ||
            fail "cannot enable the cgroup controllers"
        return
    fi
    mount -t tmpfs -o mode=0755 cgroup sys/fs/cgroup
    for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
        mkdir "sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "sys/fs/cgroup/$controller" ||
            fail "cannot mount the cgroup controller $controller"
    done
    mkdir sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified || fail "cannot mount cgroup2"
}

mkdir /host /over /new
share() {
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2" || fail "cannot mount $1"
}
share host /host cache=loose,ro
mount -t tmpfs -o mode=0755 over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work root /new ||
    fail "cannot mount the overlay"

mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
cd /new || fail "no root"
mkdir -p dev/pts dev/shm
mount -t devpts -o mode=0620,gid=5,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
# What the host keeps in /run is about the host. The exchange with the host lives there.
mount -t tmpfs -o mode=0755 run run
mkdir -p run/northstar-vm/exchange run/lock run/tmp
chmod 1777 run/lock run/tmp
share exchange run/northstar-vm/exchange cache=none
mount -t securityfs securityfs sys/kernel/security

# shellcheck source=/dev/null
. run/northstar-vm/exchange/setup
cgroups "$CGROUPS"
hostname northstar-vm
ifconfig lo 127.0.0.1 netmask 255.0.0.0 up

# modprobe finds this kernel's modules where it looks for them.
mkdir -p lib/modules
ln -s "$MODULES" "lib/modules/$(uname -r)"

# The static busybox comes along as the shell of process 1: it waits, reaps and powers off.
cp /bin/busybox run/northstar-vm/busybox
cat > run/northstar-vm/main.sh <<'END'
. /run/northstar-vm/exchange/setup
"$AGENT" vm-agent || echo "init: the agent failed: $?"
/run/northstar-vm/busybox sync
/run/northstar-vm/busybox poweroff -f
END
exec switch_root /new /run/northstar-vm/busybox sh /run/northstar-vm/main.sh
