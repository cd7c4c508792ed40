# SPDX-License-Identifier: GPL-2.0-only
"""Counts of the fs_dax trace events.

Each sort has a trace instance of its own, whose statistics tell how many events there
were: no event has to be read, and a buffer may overflow.
"""

import pathlib
import re

INSTANCES = pathlib.Path("/sys/kernel/tracing/instances")
NOPAGE = "result & 0x100"	# VM_FAULT_NOPAGE: a page was mapped
PAGE = 4096


class Events:
    """Events of one sort since it was made."""

    def __init__(self, name, event, event_filter="", buffer_kib=64):
        self.folder = INSTANCES / f"apps-{name}"
        self.folder.mkdir()
        self.event = self.folder / "events/fs_dax" / event
        (self.folder / "buffer_size_kb").write_text(str(buffer_kib))
        if event_filter:
            (self.event / "filter").write_text(event_filter)
        (self.event / "enable").write_text("1")

    def lost(self):
        return self.sum("overrun", "dropped events")

    def count(self):
        return self.sum("entries", "overrun", "dropped events")

    def sum(self, *names):
        total = 0
        for path in self.folder.glob("per_cpu/cpu*/stats"):
            for name in names:
                total += int(re.search(rf"^{name}: (\d+)", path.read_text(), re.M).group(1))
        return total

    def text(self):
        return (self.folder / "trace").read_text()

    def remove(self):
        (self.event / "enable").write_text("0")
        self.folder.rmdir()


def pages_flushed(text):
    """The sum of what each dax_writeback_one has flushed."""
    return sum(int(number, 16) for number in re.findall(r"dax_writeback_one: .* pglen 0x(\w+)", text))


class Counters:
    """The events that the table has. Most flushes have one of two sizes, and their events
    are only counted. The few events of another size are read."""

    def __init__(self):
        self.small = Events("small", "dax_pte_fault_done", NOPAGE)
        self.huge = Events("huge", "dax_pmd_fault_done", NOPAGE)
        self.flushed = {1: Events("flushed-1", "dax_writeback_one", "pglen == 1"),
                        512: Events("flushed-512", "dax_writeback_one", "pglen == 512")}
        self.others = Events("flushed-other", "dax_writeback_one", "pglen != 1 && pglen != 512",
                             buffer_kib=16384)

    def stop(self):
        """The figures by name."""
        if self.others.lost():
            raise RuntimeError("the buffer for dax_writeback_one is too small")
        pages = sum(size * events.count() for size, events in self.flushed.items())
        pages += pages_flushed(self.others.text())
        result = {"small": self.small.count(), "huge": self.huge.count(),
                  "flushed": pages * PAGE}
        for events in (self.small, self.huge, *self.flushed.values(), self.others):
            events.remove()
        return result
