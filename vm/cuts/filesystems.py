# SPDX-License-Identifier: GPL-2.0-only
"""Filesystems as they are made, mounted and checked for power cuts."""

import atexit
import dataclasses
import os
import pathlib
import shutil
import subprocess

import lib

MIB = 1 << 20
POISON = b"poison! "
# mkfs.xfs makes a filesystem below 300 MiB for the tests of XFS only.
SMALL_XFS = {"TEST_DIR": "x", "TEST_DEV": "x", "QA_CHECK_FS": "x"}
# Each mkfs writes all that it has to write, and discards nothing.
EXT4_OPTIONS = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
XFS_OPTIONS = " -K -s size=4096"
EXT4 = f"{lib.filesystem('ext4', 'mkfs', 'plain')} -E {EXT4_OPTIONS}"
# The layout ends in the list behind -E, of which mkfs takes the last one only.
EXT4_ALIGNED = f"{lib.filesystem('ext4', 'mkfs', 'aligned')},{EXT4_OPTIONS}"
XFS = lib.filesystem("xfs", "mkfs", "plain") + XFS_OPTIONS
XFS_ALIGNED = lib.filesystem("xfs", "mkfs", "aligned") + XFS_OPTIONS
XFS_FEATURES = lib.filesystem("xfs", "features")


@dataclasses.dataclass(frozen=True)
class Config:
    """One way to make and mount a filesystem."""

    fs: str
    size: int
    mkfs: str
    options: str = "dax=always"


# Not ext4 with fast_commit. Its replay loses files, data that fsync has acknowledged, or the
# whole filesystem ("Structure needs cleaning"), in a stock kernel, too.
CONFIGS = {
    "ext4": (
        Config("ext4", 64 * MIB, EXT4_ALIGNED),
        Config("ext4", 64 * MIB, EXT4, "dax=always,journal_checksum"),
        Config("ext4", 64 * MIB, EXT4 + " -O ^metadata_csum", "dax=always"),
    ),
    "xfs": (
        Config("xfs", 96 * MIB, f"{XFS} {XFS_FEATURES}"),
        Config("xfs", 96 * MIB, XFS_ALIGNED + " -m reflink=1,rmapbt=0"),
        Config("xfs", 96 * MIB, XFS + " -m reflink=0,rmapbt=0"),
    ),
}

FSCK = {fs: lib.filesystem(fs, "fsck") for fs in CONFIGS}
ROOM = 6 << 30		# what two guests and the images take at most


def scratch_file(name):
    """In memory, if there is room; a container often has little of it."""
    folder = pathlib.Path("/dev/shm")
    if not folder.is_dir() or shutil.disk_usage(folder).free < ROOM:
        folder = lib.BUILD / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"powercut-{os.getpid()}-{name}"


def make(config):
    """The image of a new filesystem. Bytes that mkfs does not write are poison."""
    path = scratch_file("mkfs")
    path.write_bytes(POISON * (config.size // len(POISON)))
    try:
        run = subprocess.run([*config.mkfs.split(), path], env={**os.environ, **SMALL_XFS},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if run.returncode:
            lib.die(f"{config.mkfs}: {run.stdout.decode()}")
        return path.read_bytes()
    finally:
        path.unlink()


class Check:
    """fsck of an image, in the background; one at a time."""

    def __init__(self, config, image):
        self.path = scratch_file("fsck")
        # Over the last one of this size: new memory is slow.
        mode = os.O_RDWR | os.O_CREAT
        if self.path.exists() and self.path.stat().st_size != len(image):
            mode |= os.O_TRUNC
        handle = os.open(self.path, mode)
        os.pwrite(handle, image, 0)
        os.close(handle)
        command = FSCK[config.fs].split()
        self.run = subprocess.Popen([*command, self.path], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def problem(self):
        """What fsck says if it finds something, or None."""
        text, _ = self.run.communicate()
        return f"fsck: {text.decode(errors='replace')}" if self.run.returncode else None


def clean_up():
    for name in ("mkfs", "fsck"):
        scratch_file(name).unlink(missing_ok=True)


atexit.register(clean_up)
