#!/usr/bin/busybox sh
# The first program of a NixOS guest after the initrd: it completes the mounts and starts NixOS.
/usr/lib/ccvm/prepare
# NixOS has another number for the group of terminals than Debian
busybox mount -o remount,gid=3 /dev/pts
exec @system@/init
