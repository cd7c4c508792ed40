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
EXT4 = "mkfs.ext4 -q -F -b 4096 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0"
XFS = "mkfs.xfs -q -f -K -s size=4096"


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
        Config("ext4", 64 * MIB, EXT4 + ",stride=512,stripe_width=512"),
        Config("ext4", 64 * MIB, EXT4, "dax=always,journal_checksum"),
        Config("ext4", 64 * MIB, EXT4 + " -O ^metadata_csum", "dax=always"),
    ),
    "xfs": (
        Config("xfs", 96 * MIB, XFS + " -m reflink=1,rmapbt=1"),
        Config("xfs", 96 * MIB, XFS + " -m reflink=1,rmapbt=0 -d su=2m,sw=1"),
        Config("xfs", 96 * MIB, XFS + " -m reflink=0,rmapbt=0"),
    ),
}


ROOM = 6 << 30		# what two guests and the images take at most


def scratch_file(name):
    """In memory, if there is room; a container often has little of it."""
    folder = pathlib.Path("/dev/shm")
    if not folder.is_dir() or shutil.disk_usage(folder).free < ROOM:
        folder = lib.BUILD / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"powercut-{os.getpid()}-{name}"


def make(config):
    """The image of a new filesystem. What mkfs does not write is poison."""
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
        command = ["e2fsck", "-fn"] if config.fs == "ext4" else ["xfs_repair", "-n"]
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
