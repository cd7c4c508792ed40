# SPDX-License-Identifier: GPL-2.0-only
"""How the files of a folder are mapped now, in all processes.

PAGEMAP_SCAN is the one interface that tells the size of a DAX mapping, and FIEMAP the
one that tells where the blocks of a file are.
"""

import array
import fcntl
import os
import re
import struct

PAGE = 4096
HUGE = 2 << 20

PAGEMAP_SCAN = 0xC0606610
SCAN = struct.Struct("12Q")
PRESENT, IS_HUGE = 1 << 3, 1 << 6
REGIONS = 512

FIEMAP = 0xC020660B
FIEMAP_HEAD = struct.Struct("QQIIII")
FIEMAP_EXTENT = struct.Struct("QQQQQIIII")
EXTENTS = 256
EXTENT_LAST, NOT_MAPPABLE = 0x1, 0x2 | 0x4 | 0x8 | 0x200	# unknown, delalloc, encoded, inline


def extents(fd):
    """(offset, physical, length) of a file, in bytes; neighbours are joined."""
    result, start = [], 0
    while True:
        head = FIEMAP_HEAD.pack(start, 2 ** 64 - 1 - start, 0, 0, EXTENTS, 0)
        buffer = bytearray(head + bytes(EXTENTS * FIEMAP_EXTENT.size))
        fcntl.ioctl(fd, FIEMAP, buffer)
        number = FIEMAP_HEAD.unpack_from(buffer)[3]
        last = True
        for nr in range(number):
            at, physical, length, _, _, flags, *_ = FIEMAP_EXTENT.unpack_from(
                buffer, FIEMAP_HEAD.size + nr * FIEMAP_EXTENT.size)
            last = bool(flags & EXTENT_LAST)
            start = at + length
            if flags & NOT_MAPPABLE:
                continue
            before = result[-1] if result else None
            if before and before[0] + before[2] == at and before[1] + before[2] == physical:
                result[-1] = (before[0], before[1], before[2] + length)
            else:
                result.append((at, physical, length))
        if last or not number:
            return result


def huge_ranges(found):
    """(ranges of 2 MiB that have blocks, those whose blocks can be mapped huge)"""
    some, can = set(), set()
    for at, physical, length in found:
        first, end = at // HUGE, (at + length - 1) // HUGE + 1
        some.update(range(first, end))
        if (at - physical) % HUGE == 0:
            can.update(range(-(-at // HUGE), (at + length) // HUGE))
    return some, can


def scan(fd, start, end):
    """(start, end, is it huge) of what is mapped between two addresses"""
    vector = array.array("Q", bytes(24 * REGIONS))
    address, _ = vector.buffer_info()
    while start < end:
        argument = bytearray(SCAN.pack(SCAN.size, 0, start, end, 0, address, REGIONS, 0, 0,
                                       PRESENT, 0, IS_HUGE))
        number = fcntl.ioctl(fd, PAGEMAP_SCAN, argument)
        for nr in range(number):
            yield vector[3 * nr], vector[3 * nr + 1], bool(vector[3 * nr + 2] & IS_HUGE)
        start = SCAN.unpack(argument)[4]


def mappings(text, device):
    """(start, end, offset, inode) of the lines of /proc/PID/maps on a device"""
    for line in text.splitlines():
        match = re.match(r"(\w+)-(\w+) \S+ (\w+) (\w+:\w+) (\d+)", line)
        if match and match.group(4) == device:
            yield (*(int(word, 16) for word in match.group(1, 2, 3)), int(match.group(5)))


def device_of(folder):
    number = os.stat(folder).st_dev
    return f"{os.major(number):02x}:{os.minor(number):02x}"


class Sample:
    """What is mapped at one moment."""

    def __init__(self):
        self.pages = 0		# mapped, of 4 KiB, by all processes
        self.tables = 0		# KiB of page tables of these processes
        self.huge = set()	# (inode, number of the 2 MiB range) mapped by 2 MiB
        self.files = {}		# by inode: a path through which the file can be opened

    def add(self, pid, device):
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
            found = list(mappings(maps.read(), device))
        if not found:
            return
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
        try:
            for start, end, offset, inode in found:
                self.files.setdefault(inode, f"/proc/{pid}/map_files/{start:x}-{end:x}")
                for first, stop, huge in scan(pagemap, start, end):
                    self.pages += (stop - first) // PAGE
                    if huge:
                        at = (first - start + offset) // HUGE
                        self.huge.update((inode, at + nr) for nr in range((stop - first) // HUGE))
        finally:
            os.close(pagemap)
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            self.tables += int(re.search(r"^VmPTE:\s*(\d+)", status.read(), re.M).group(1))

    def ranges(self):
        """How many 2 MiB ranges of the files have blocks, how many can be huge, and how
        many of these are mapped so."""
        some = can = mapped = 0
        for inode, path in self.files.items():
            fd = os.open(path, os.O_RDONLY)
            try:
                has, could = huge_ranges(extents(fd))
            finally:
                os.close(fd)
            some += len(has)
            can += len(could)
            mapped += sum((inode, nr) in self.huge for nr in could)
        return some, can, mapped


def take(device):
    """A sample of all processes. Those that end meanwhile are left out."""
    sample = Sample()
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                sample.add(pid, device)
            except (OSError, AttributeError):
                continue
    return sample


class Peak:
    """The sample with most pages, and the most page tables of any sample."""

    def __init__(self, folder):
        self.device = device_of(folder)
        self.pages = self.tables = 0
        self.ranges = None

    def look(self):
        sample = take(self.device)
        self.tables = max(self.tables, sample.tables)
        if sample.pages and sample.pages >= self.pages:
            try:
                self.ranges = sample.ranges()
                self.pages = sample.pages
            except OSError:
                pass	# a file was unmapped meanwhile
