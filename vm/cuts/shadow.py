# SPDX-License-Identifier: GPL-2.0-only
"""What of a device is durable, and what a power cut could leave of it.

Bytes become durable when they were flushed, and a fence came after. Before that, and
also if nothing flushed them, each cache line may be durable or not: a cut draws which.

    durable     what any cut leaves
    flushed     what was flushed since the last fence, with its bytes at that time
    live        what the CPU sees, in the memory of the guest

A line that differs from all of these has been durable in none of its states.

What the block driver writes is durable by whole blocks or not at all: filesystems rely on
that for their own blocks. (A device without a block translation table does not promise it.)
"""

import ctypes

from cuts.guests import MEMCMP

LINE = 64
PAGE = 4096

# How a cut draws.
KINDS = ("none", "flushed", "all", "random", "torn", "late")


class Shadow:
    def __init__(self, guest, offset, image):
        """The device begins at the @offset of the memory file, and holds @image."""
        self.guest, self.offset, self.size = guest, offset, len(image)
        self.durable = bytearray(image)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.durable))
        self.flushed = []	# place, bytes, and what is durable as a whole
        self.spare = []		# images of cuts that were checked: new memory is slow

    def flush(self, at, data, unit=LINE):
        self.flushed.append((at, bytes(data), unit))

    def fence(self):
        self.apply(self.durable, self.flushed)
        self.flushed.clear()

    def store(self, at, length):
        """User space has flushed and fenced a range. What is still open of an older flush
        of these lines cannot come after that: a cache line has one order of stores."""
        first, last = at // LINE * LINE, (at + length + LINE - 1) // LINE * LINE
        new = self.live(first, last - first)
        self.durable[first:last] = new
        self.flushed = [self.newer(flush, first, new) for flush in self.flushed]

    @staticmethod
    def newer(flush, first, new):
        """The flush, with the new bytes where they are at from @first on."""
        at, data, unit = flush
        start, end = max(at, first), min(at + len(data), first + len(new))
        if start >= end:
            return flush
        return at, data[:start - at] + bytes(new[start - first:end - first]) + \
            data[end - at:], unit

    def live(self, at, length):
        return self.guest.memory[self.offset + at:self.offset + at + length]

    def differing(self, step, first, last):
        """The steps of a range in which live and durable bytes differ."""
        live, durable = self.guest.address + self.offset, self.address
        return [at for at in range(first, last, step)
                if MEMCMP(live + at, durable + at, step)]

    def dirty_lines(self):
        """The lines in which live and durable bytes differ."""
        return [line for part in self.differing(16 * PAGE, 0, self.size)
                for page in self.differing(PAGE, part, part + 16 * PAGE)
                for line in self.differing(LINE, page, page + PAGE)]

    def cut(self, kind, rng):
        """An image that a cut now can leave, and how it was drawn."""
        image = self.spare.pop() if self.spare else bytearray(self.size)
        image[:] = self.durable
        flushed, lines = self.flushed, []
        if kind in ("all", "random", "late"):
            lines = self.dirty_lines()
        if kind == "torn" and flushed:
            self.tear(image, rng)
        elif kind in ("flushed", "all"):
            self.apply(image, flushed)
        elif kind == "random":
            self.apply_some(image, flushed, rng)
            share = rng.choice((0.02, 0.5, 0.98))
            lines = [line for line in self.without(lines, PAGE) if rng.random() < share]
        elif kind == "late":
            lines = self.without(lines, LINE)
        for line in lines:
            image[line:line + LINE] = self.live(line, LINE)
        return image, f"{kind}: {len(flushed)} flushes open, {len(lines)} lines unflushed"

    def without(self, lines, least):
        """Those of no open flush whose unit is so large."""
        there = {line for at, data, unit in self.flushed if unit >= least
                 for line in range(at // LINE * LINE, at + len(data), LINE)}
        return [line for line in lines if line not in there]

    @staticmethod
    def apply(image, flushed):
        for at, data, _ in flushed:
            image[at:at + len(data)] = data

    def tear(self, image, rng):
        """A flush that was in the middle, after those before it and before the rest."""
        last = rng.randrange(len(self.flushed))
        self.apply(image, self.flushed[:last])
        at, data, unit = self.flushed[last]
        units = (at + len(data) - 1) // unit - at // unit + 1
        end = min((at // unit + rng.randint(0, units)) * unit, at + len(data))
        if end > at:
            image[at:end] = data[:end - at]

    @staticmethod
    def apply_some(image, flushed, rng):
        """Any lines of any flushes."""
        share = rng.choice((0.1, 0.5, 0.9))
        for at, data, unit in flushed:
            end = at + len(data)
            for start in range(at // unit * unit, end, unit):
                if rng.random() < share:
                    first, last = max(start, at), min(start + unit, end)
                    image[first:last] = data[first - at:last - at]
