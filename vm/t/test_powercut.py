#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of vm/powercut without a guest: what is durable, and what may be in a file."""

import ctypes
import pathlib
import random
import socket
import struct
import sys
import unittest
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from cuts import filesystems, model, rounds	# noqa: E402
from cuts.guests import GuestError	# noqa: E402
from cuts.probe import COPIED, COPY, FENCE, FLUSH, Probe	# noqa: E402
from cuts.shadow import KINDS, LINE, PAGE, Shadow	# noqa: E402

SIZE = 1 << 18
OLD, NEW = b"o" * LINE, b"n" * LINE


class Memory:
    """A guest's memory, all of which is the device."""

    def __init__(self):
        self.memory = bytearray(OLD * (SIZE // LINE))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def store(self, at, data):
        self.memory[at:at + len(data)] = data


class ShadowTest(unittest.TestCase):

    def setUp(self):
        self.guest = Memory()
        self.shadow = Shadow(self.guest, 0, bytes(self.guest.memory))

    def images(self, kind, times=200):
        """The different first two lines of images of cuts."""
        rng = random.Random(1)
        return {bytes(self.shadow.cut(kind, rng)[0][:2 * LINE]) for _ in range(times)}

    def store(self, at, data, flush=True):
        self.guest.store(at, data)
        if flush:
            self.shadow.flush(at, data)

    def test_a_fence_makes_flushed_bytes_durable(self):
        self.store(0, NEW)
        self.shadow.fence()
        for kind in KINDS:
            self.assertEqual(self.images(kind), {NEW + OLD}, kind)

    def test_a_flush_alone_does_not(self):
        self.store(0, NEW * 2)
        self.assertEqual(self.images("none"), {OLD * 2})
        self.assertEqual(self.images("flushed"), {NEW * 2})
        self.assertEqual(self.images("torn"), {OLD * 2, NEW + OLD, NEW * 2})
        self.assertEqual(self.images("random"), {OLD * 2, NEW + OLD, OLD + NEW, NEW * 2})

    def test_a_fence_without_a_flush_does_not(self):
        self.store(0, NEW, flush=False)
        self.shadow.fence()
        self.assertEqual(self.images("none"), {OLD * 2})
        self.assertEqual(self.images("flushed"), {OLD * 2})
        self.assertEqual(self.images("random"), {OLD * 2, NEW + OLD})
        self.assertEqual(self.images("late"), {NEW + OLD})

    def test_what_was_flushed_is_what_was_there_then(self):
        self.store(0, NEW)
        self.guest.store(0, b"l" * LINE)
        self.shadow.fence()
        self.assertEqual(self.images("none"), {NEW + OLD})

    def test_late_lines_may_come_first(self):
        self.store(0, NEW)
        self.store(LINE, NEW, flush=False)
        self.assertEqual(self.images("late"), {OLD + NEW})

    def test_a_block_of_the_driver_is_whole(self):
        new = NEW * (PAGE // LINE)
        self.store(0, new, flush=False)
        self.shadow.flush(0, new, PAGE)
        for kind in KINDS:
            self.assertLessEqual(self.images(kind), {OLD * 2, NEW * 2}, kind)

    def test_user_space_stores_after_a_flush(self):
        """An older flush that is still open does not bring the older bytes back."""
        self.store(0, b"x" * 4 * LINE)
        self.guest.store(LINE, NEW)
        self.shadow.store(LINE, LINE)
        for kind in KINDS:
            for image in self.images(kind):
                self.assertEqual(image[LINE:], NEW, kind)
        self.shadow.fence()
        self.assertEqual(bytes(self.shadow.durable[:4 * LINE]),
                         b"x" * LINE + NEW + b"x" * 2 * LINE)

    def test_user_space_flushes_lines(self):
        self.guest.store(0, NEW * 2)
        self.shadow.store(8, 8)
        self.assertEqual(self.images("none"), {NEW + OLD})


class ProbeTest(unittest.TestCase):
    """A page and a doorbell, and a round that asks for no cuts."""

    PAGE_AT, SOURCE, DEVICE = 3 * PAGE, 5 * PAGE, 16 * PAGE

    def setUp(self):
        self.guest = Memory()
        here, self.there = socket.socketpair()
        self.addCleanup(here.close)
        self.addCleanup(self.there.close)
        self.probe = Probe(self.guest, here)
        self.there.send(struct.pack("<Q", self.PAGE_AT))
        self.probe.start()
        self.number = 0

    def tell(self, kind, to=0, length=0, source=0, missed=0):
        self.number += 1
        struct.pack_into("<7Q", self.guest.memory, self.PAGE_AT, self.number,
                         self.number - 1, kind, to, length, source, missed)
        self.there.send(bytes([kind]))

    def answered(self):
        return struct.unpack_from("<Q", self.guest.memory, self.PAGE_AT + 8)[0]

    def round(self):
        """Its device begins at DEVICE of the memory."""
        this = rounds.Round.__new__(rounds.Round)
        image = bytes(self.guest.memory[self.DEVICE:])
        this.shadow = Shadow(self.guest, self.DEVICE, image)
        this.machine = rounds.Machine.__new__(rounds.Machine)
        this.machine.guest, this.probe = self.guest, self.probe
        this.events = this.calls = this.wanted = 0
        return this

    def test_an_event_is_answered(self):
        self.tell(FLUSH, 0x1000, 64)
        event = self.probe.event()
        self.assertEqual((event.kind, event.to, event.length), (FLUSH, 0x1000, 64))
        self.assertEqual(self.answered(), 0)
        self.probe.answer(event)
        self.assertEqual(self.answered(), 1)

    def test_a_missed_event_is_an_error(self):
        self.tell(FENCE, missed=1)
        with self.assertRaisesRegex(GuestError, "missed 1"):
            self.probe.event()

    def test_a_number_is_left_out(self):
        self.tell(FENCE)
        self.probe.event()
        self.tell(FENCE)
        struct.pack_into("<Q", self.guest.memory, self.PAGE_AT + 8, 0)
        with self.assertRaisesRegex(GuestError, "event 2 .* after event 0"):
            self.probe.event()

    def test_the_guest_is_gone(self):
        self.there.close()
        with self.assertRaises(GuestError):
            self.probe.event()

    def durable(self, kind, to, length=0, source=0):
        """The first line that is durable after such an event and a fence."""
        self.guest.store(self.DEVICE, OLD)
        this = self.round()
        this.on_device = lambda phys: phys >= rounds.PMEM
        self.guest.store(self.DEVICE, NEW)
        self.guest.store(self.SOURCE, b"s" * PAGE)
        with unittest.mock.patch.object(rounds, "place", self.place), \
             unittest.mock.patch.object(rounds, "SIZE", SIZE):
            for each in ((kind, to, length, source), (FENCE,)):
                self.tell(*each)
                this.event()
        self.assertEqual(self.answered(), self.number)
        return bytes(this.shadow.durable[:LINE])

    def place(self, phys):
        return phys - rounds.PMEM + self.DEVICE if phys >= rounds.PMEM else phys

    def test_what_each_event_makes_durable(self):
        self.assertEqual(self.durable(FENCE, 0), OLD)
        for kind in (FLUSH, COPIED):
            self.assertEqual(self.durable(kind, rounds.PMEM + 8, 8), NEW)
            self.assertEqual(self.durable(kind, rounds.PMEM + LINE, 8), OLD)
            self.assertEqual(self.durable(kind, rounds.PMEM - PAGE, 8), OLD)
        self.assertEqual(self.durable(COPY, rounds.PMEM + 8, 8, self.SOURCE),
                         OLD[:8] + b"s" * 8 + OLD[16:])

    def test_a_source_that_is_nowhere(self):
        with self.assertRaisesRegex(GuestError, "no memory is at 0x0"):
            self.durable(COPY, rounds.PMEM, 8, 0)


class ModelTest(unittest.TestCase):

    def setUp(self):
        self.file = model.File(1, "f", may_lack=False)
        self.old = model.pattern(model.base(1, 0x111), 0, 4 * LINE)
        self.new = model.pattern(model.base(1, 0x222), 0, 4 * LINE)
        self.file.push(self.old)
        self.file.acknowledge(1)

    def test_acknowledged_bytes(self):
        self.assertIsNone(self.file.problem(self.old))
        self.assertIn("store 0x222", self.file.problem(self.new))

    def test_a_mixture(self):
        self.file.push(self.new)
        for line in range(4):
            at = line * LINE
            self.assertIsNone(self.file.problem(self.old[:at] + self.new[at:]))
            torn = self.old[:at + 3] + self.new[at + 3:]
            self.assertIn(f"at {at:#x}", self.file.problem(torn))

    def test_bytes_of_others(self):
        other = model.pattern(model.base(2, 1), 0, LINE)
        self.assertIn("file 0x2", self.file.problem(other + self.old[LINE:]))
        self.assertIn("poison", self.file.problem(filesystems.POISON * 8 + self.old[LINE:]))
        self.assertIn("zeroes", self.file.problem(bytes(LINE) + self.old[LINE:]))

    def test_an_acknowledged_range(self):
        self.file.push(self.new)
        self.file.acknowledge_range(1, LINE, 2 * LINE)
        self.assertIsNone(self.file.problem(self.old[:LINE] + self.new[LINE:2 * LINE] +
                                            self.old[2 * LINE:]))
        self.assertIn("at 0x40", self.file.problem(self.old))

    def test_sizes(self):
        self.file.push(self.old[:LINE])
        self.assertIsNone(self.file.problem(self.old[:LINE]))
        self.assertIsNone(self.file.problem(self.old))
        self.file.acknowledge(1)
        self.assertIn("bytes, not", self.file.problem(self.old))

    def test_names(self):
        self.assertEqual(self.file.problem(None), "is lost")
        self.file.may_lack = True
        self.assertIsNone(self.file.problem(None))
        self.file.may_exist = False
        self.assertIn("deleted", self.file.problem(self.old))


if __name__ == "__main__":
    unittest.main()
