# SPDX-License-Identifier: GPL-2.0-only
"""The module that tells where a guest's kernel flushes persistent memory.

tools/testing/selftests/dax/powercut/powercut_probe.c has its design: an event is in a page
of the guest's memory, a byte on a socket says so, and the CPU waits for the answer.
"""

import dataclasses
import shutil
import struct

import lib
from cuts.guests import GuestError, place

SOURCE = lib.TOP / "tools/testing/selftests/dax/powercut"
NAME = "powercut_probe"
PORT = 0xe9
FLUSH, COPY, COPIED, FENCE = 1, 2, 3, 4
# How the trail of a cut calls an event.
WHERE = {FLUSH: "arch_wb_cache_pmem", COPY: "memcpy_flushcache",
         COPIED: "copy_user_flushcache", FENCE: "nvdimm_flush"}
# Native, so that a number is written at once.
EVENT = struct.Struct("7Q")
NUMBER = struct.Struct("Q")
ANSWERED = 8		# where in the page


def build(kernel):
    """The module for a kernel that was built. Its objects are beside its sources, so each
    kernel has a copy of them."""
    folder = lib.BUILD / "guest" / f"{NAME}-{kernel}"
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCE.iterdir():
        copy = folder / source.name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            shutil.copyfile(source, copy)
    objects = lib.OBJ / kernel
    log = lib.LOG / f"{NAME}-{kernel}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        if lib.call("make", "-s", "-C", objects, f"M={folder}",
                    f"KBUILD_EXTRA_SYMBOLS={objects}/vmlinux.symvers", "modules",
                    stdout=out, stderr=out):
            lib.die(f"{NAME} does not compile for {kernel}; the errors are in "
                    f"{lib.short(log)}")
    return folder / f"{NAME}.ko"


@dataclasses.dataclass
class Event:
    """Physical addresses; 0 is one that the kernel's direct map does not have."""

    number: int
    kind: int
    to: int
    length: int
    source: int


class Probe:
    """The host's end of the module."""

    def __init__(self, guest, link):
        self.guest, self.link, self.page = guest, link, 0

    @staticmethod
    def options(socket):
        """Of QEMU, for the port."""
        return ("-chardev", f"socket,id=doorbell,path={socket},server=on,wait=off",
                "-device", f"isa-debugcon,iobase={PORT:#x},chardev=doorbell")

    def start(self):
        """The module is there, and has told where its page is."""
        data = b""
        while len(data) < NUMBER.size:
            data += self.receive(NUMBER.size - len(data))
        self.page = place(*NUMBER.unpack(data))

    def receive(self, length):
        data = self.link.recv(length)
        if not data:
            raise GuestError("the guest of the probe has ended")
        return data

    def event(self):
        """The event for which the guest waits. The doorbell was rung."""
        self.receive(1)
        number, answered, kind, to, length, source, missed = \
            EVENT.unpack_from(self.guest.memory, self.page)
        if number != answered + 1 or kind not in WHERE:
            raise GuestError(f"event {number} of kind {kind} after event {answered}")
        if missed:
            raise GuestError(f"the probe has missed {missed} events")
        return Event(number, kind, to, length, source)

    def answer(self, event):
        """The guest goes on."""
        NUMBER.pack_into(self.guest.memory, self.page + ANSWERED, event.number)

    def answer_all(self):
        """Until the guest has ended: a kernel also fences when it shuts down."""
        while self.link.recv(1):
            number, = NUMBER.unpack_from(self.guest.memory, self.page)
            NUMBER.pack_into(self.guest.memory, self.page + ANSWERED, number)
