#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# setup.sh: makes an image of Debian the system of vm/deb-test; runs in it, without
# its kernel. The packages and what check.sh needs are in /opt/deb-test.

set -e
dpkg -i /opt/deb-test/*.deb
rm /opt/deb-test/*.deb

# The filesystems are made where there are none, as on the first boot of each run. Under
# emulation, udev is slow; without a long time-out, the mount would be given up.
mkdir -p /mnt/xfs /mnt/ext4
cat >/etc/fstab <<'END'
/dev/vda   /          ext4  defaults  0 1
/dev/pmem0 /mnt/xfs   xfs   dax=always,nofail,x-systemd.makefs,x-systemd.device-timeout=900 0 0
/dev/pmem1 /mnt/ext4  ext4  dax=always,nofail,x-systemd.makefs,x-systemd.device-timeout=900 0 0
END
echo deb-test >/etc/hostname
systemctl enable /opt/deb-test/deb-test.service
