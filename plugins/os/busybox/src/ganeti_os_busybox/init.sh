#!/bin/sh
# First program of a busybox guest: loads modules, finds the root file system, hands over to it.

PATH=/bin
export PATH

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

while read -r module; do
  insmod "/modules/$module" 2> /dev/null
done < /modules/list

root=/dev/vda
for word in $(cat /proc/cmdline); do
  case "$word" in root=/dev/*) root=${word#root=} ;; esac
done

# The first that holds a system: the one that was asked for, the whole disk, other kinds of disk.
attempt=0
while [ "$attempt" -lt 20 ]; do
  for device in "$root" /dev/vda /dev/sda /dev/vda1 /dev/sda1; do
    [ -b "$device" ] || continue
    if mount -t ext4 "$device" /newroot 2> /dev/null; then
      if [ -x /newroot/bin/busybox ]; then
        umount /proc /sys
        mount -o move /dev /newroot/dev
        exec switch_root /newroot /bin/busybox init
      fi
      umount /newroot
    fi
  done
  [ -d /sys/block/vda ] || [ -d /sys/block/sda ] || [ "$attempt" -lt 5 ] || break
  sleep 0.2
  attempt=$((attempt + 1))
done

echo
echo "ganeti guest without a system is up: no disk that can be booted (root=$root)"
cd /root
while :; do
  busybox setsid busybox cttyhack sh -i < /dev/ttyS0 > /dev/ttyS0 2>&1
  sleep 1
done
