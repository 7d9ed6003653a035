#!/bin/bash
# systemd-box.sh ROOT: boots the systemd of a root folder as PID 1 of namespaces of its own, until its stdin ends.
# Prints that systemd's pid. Nothing written inside survives. Needs root.
set -eu

case ${2-} in
  '') # In a mount namespace of its own, with a folder for what is mounted.
    folder=/var/tmp/systemd-box.$$
    mkdir -m 700 "$folder"
    trap 'rmdir "$folder"' EXIT
    unshare --mount "$0" "$1" keep "$folder" <&0 &
    # So that stdout ends with a boot that fails.
    exec >&-
    wait
    ;;

  keep)
    folder=$3
    mount -t tmpfs tmpfs "$folder"
    mkdir "$folder"/{cgroups,upper,work,root}
    mount -t cgroup2 cgroup2 "$folder/cgroups"
    # Boxes that ran at once in one control group would end each other's services.
    cgroup=$folder/cgroups$(sed -n 's/^0:://p' /proc/self/cgroup)/systemd-box-$$
    mkdir "$cgroup"
    unshare --mount --pid --net --uts --ipc --fork --kill-child "$0" "$1" boot "$folder" "$cgroup" </dev/null &
    exec >&-
    cat >/dev/null
    for _ in {1..100}; do
      [[ -d $cgroup ]] || break
      echo 1 >"$cgroup/cgroup.kill"
      find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
    kill -9 $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    umount -l "$folder"
    ;;

  boot) # PID 1 already, as seen from inside.
    read -r pid _ </proc/self/stat
    echo 0 >"$4/cgroup.procs"
    exec unshare --cgroup "$0" "$1" start "$3" "$pid"
    ;;

  start)
    box=$3
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$box/upper,workdir=$box/work" "$box/root"
    cd "$box/root"
    mount -t proc proc proc
    # The kernel's settings and devices are the host's.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount --bind proc/sys/net proc/sys/net
    mount -o remount,bind,rw proc/sys/net
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=1777 tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/{pts,shm}
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    ln -s /proc/self/fd/0 dev/stdin
    ln -s /proc/self/fd/1 dev/stdout
    ln -s /proc/self/fd/2 dev/stderr
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/zero c 1 5
    mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8
    mknod -m 666 dev/urandom c 1 9
    mknod -m 666 dev/tty c 5 0
    # Else it would be a first boot, which enables every service there is, or the first one after an upgrade.
    tr -d - <proc/sys/kernel/random/uuid >etc/machine-id
    touch etc/.updated var/.updated
    echo box >etc/hostname
    mkdir -p run/systemd/system
    for unit in systemd-modules-load.service sys-kernel-{debug,tracing,config}.mount dev-hugepages.mount getty.target; do
      ln -s /dev/null "run/systemd/system/$unit"
    done
    echo "$4"
    pivot_root . mnt
    umount -l /mnt
    # As a container manager does: systemd mounts a service's credentials in a namespace of its own, and has them appear.
    mount --make-rshared /
    exec env -i container=box /usr/lib/systemd/systemd --unit=multi-user.target --show-status=0 >/dev/null 2>&1
    ;;
esac
