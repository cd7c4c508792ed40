# SPDX-License-Identifier: GPL-2.0-only
"""A round: a new filesystem, random operations, and power cuts among them.

Two guests take part. In the first one the operations run, and it stops where its kernel
flushes. The second one mounts the images that cuts leave.
"""

import contextlib
import dataclasses
import gzip
import pickle
import random

from cuts import filesystems
from cuts.gdb import COPY_USER, DIRECT, PLACES, RDI, RDX, RIP, RSI, RSP, Gdb, Vmlinux
from cuts.guests import LOW, PMEM, SIZE, Guest, GuestError, Refused, connect, place
from cuts.operations import Operations
from cuts.shadow import KINDS, LINE, PAGE, Shadow

CUTS_IN_A_CALL = 2
SECTOR = 512
SECONDS = 300		# for a command in the guest


@dataclasses.dataclass
class Cut:
    """An image, the files as the model has them, and what led to it."""

    image: bytes
    where: str
    config: filesystems.Config
    files: list
    deleted: list
    seed: int = 0
    step: int = 0
    trail: list = dataclasses.field(default_factory=list)
    problem: str = ""
    spare: list = None		# where the image goes when it was checked


class Checker:
    """The second guest: mounts an image, compares its files, and then fsck checks it."""

    def __init__(self, guest, found):
        self.guest, self.found, self.fsck = guest, found, None
        self.checked = 0

    def check(self, cut):
        self.finish()
        self.guest.set_pmem(cut.image)
        try:
            self.guest.ask("mount", cut.config.fs, "/dev/pmem0", cut.config.options)
        except Refused as err:
            self.report(cut, str(err))
            return
        problem = self.compare(cut)
        self.guest.ask("umount")
        self.checked += 1
        if problem:
            self.report(cut, problem)
        image = self.guest.pmem(0, cut.config.size)
        self.fsck = cut, filesystems.Check(cut.config, image)

    def compare(self, cut):
        names = self.guest.ask("list")
        files = {file.name: file for file in cut.files + cut.deleted}
        for name in names:
            if name not in files:
                return f"{name} is there, though its deletion was acknowledged"
        for name, file in files.items():
            try:
                data = self.guest.load(name) if name in names else None
            except Refused as err:
                return f"{name}: {err}"
            problem = file.problem(data)
            if problem:
                return f"{name} {problem}"
        return None

    def finish(self):
        if not self.fsck:
            return
        cut, fsck = self.fsck
        self.fsck = None
        problem = fsck.problem()
        if problem:
            self.report(cut, problem)
        if cut.spare is not None and not cut.problem:
            cut.spare.append(cut.image)

    def report(self, cut, problem):
        cut.problem = problem
        self.found(cut)


class Machine:
    """The first guest, and the places where it stops."""

    def __init__(self, kernel, obj, folder):
        socket = folder / "gdb"
        self.guest = Guest(kernel, "first", folder,
                           Guest.options("-gdb", f"unix:{socket},server=on,wait=off"))
        self.socket, self.kernel = socket, Vmlinux(obj / kernel / "vmlinux")
        self.at, self.copies, self.direct = {}, {}, DIRECT
        self.gdb = None

    def wait_ready(self):
        self.guest.wait_ready()
        self.gdb = Gdb(connect(self.socket, 10, self.guest.run))
        if "page_offset_base" in self.kernel.symbols:
            self.direct = int.from_bytes(
                self.gdb.read(self.kernel.symbols["page_offset_base"], 8), "little")
        for name in PLACES:
            address = self.kernel.frame(name)
            self.at[address] = name
            self.gdb.breakpoint(address)
        self.gdb.go()

    def phys(self, address):
        return address - self.direct

    def bytes_at(self, address, length):
        phys = self.phys(address)
        at = place(phys)
        if (0 <= phys < LOW or phys >= PMEM) and at + length <= SIZE:
            return self.guest.memory[at:at + length]
        return self.gdb.read(address, length)


class Round:
    """Also what Operations calls."""

    def __init__(self, machine, checker, config, seed, image, only=None):
        self.machine, self.checker, self.config, self.seed = machine, checker, config, seed
        self.guest, self.gdb = machine.guest, machine.gdb
        self.rng = random.Random(f"cuts {seed}")
        self.guest.set_pmem(image)
        self.shadow = Shadow(self.guest, place(PMEM), image)
        self.operations = Operations(random.Random(f"operations {seed}"), self,
                                     "reflink=1" in config.mkfs, only)
        self.step, self.trail, self.cuts = 0, [], []
        self.wanted, self.events, self.calls = 0, 0, 0
        self.counts = {}

    # --- cuts

    def take(self, where):
        kind = self.rng.choice(KINDS)
        image, how = self.shadow.cut(kind, self.rng)
        self.cuts.append((image, f"{where}, {how}"))

    def check_cuts(self):
        for image, where in self.cuts:
            ops = self.operations
            cut = Cut(image, where, self.config, [f.copy() for f in ops.slots.values()],
                      [f.copy() for f in ops.deleted], self.seed, self.step,
                      self.trail[-40:], "", self.shadow.spare)
            self.checker.check(cut)
        self.cuts.clear()

    def cut_now(self):
        self.take("between two calls")
        self.check_cuts()

    @contextlib.contextmanager
    def no_cuts(self):
        self.wanted = -1
        yield
        self.wanted = 0

    # --- what the kernel flushes

    def flushed(self, address, data, unit=LINE):
        at = self.machine.phys(address) - PMEM
        if 0 <= at < self.shadow.size:
            self.shadow.flush(at, data, unit)

    def flushed_lines(self, address, length):
        first = address // LINE * LINE
        last = (address + length + LINE - 1) // LINE * LINE
        self.flushed(first, self.machine.bytes_at(first, last - first))

    def event(self):
        """The guest has stopped."""
        registers = self.gdb.stopped()
        rip, rdi, rsi, rdx = (registers[r] for r in (RIP, RDI, RSI, RDX))
        name = self.machine.at.get(rip)
        copies = self.machine.copies
        if name is None:
            raise GuestError(f"a stop at {rip:#x}")
        if name == "arch_wb_cache_pmem":
            self.flushed_lines(rdi, rsi)
        elif name == "__memcpy_flushcache":
            block = (rdi | rdx) % SECTOR == 0	# written by the block driver
            self.flushed(rdi, self.machine.bytes_at(rsi, rdx), PAGE if block else LINE)
        elif name == "nvdimm_flush":
            self.shadow.fence()
        elif name == COPY_USER:
            # The bytes are there when it returns.
            back = int.from_bytes(self.gdb.read(registers[RSP] + 8, 8), "little")
            if back not in self.machine.at:
                self.machine.at[back] = "return"
                self.gdb.breakpoint(back)
            copies[registers[RSP] + 16] = rdi, rdx
        elif name == "return" and registers[RSP] in copies:
            self.flushed_lines(*copies.pop(registers[RSP]))
        self.events += 1
        self.counts[name] = self.counts.get(name, 0) + 1
        self.maybe_take(name)
        if name == "return":
            self.gdb.go_past(rip)
        else:
            self.gdb.go_past_frame(registers)

    def maybe_take(self, name):
        if self.wanted <= 0:
            return
        usual = 1 + self.events / (self.calls + 1)
        if self.rng.random() < (4 if name == "nvdimm_flush" else 1) / usual:
            self.wanted -= 1
            self.take(f"at {name}")

    # --- calls

    def __call__(self, *words):
        if self.wanted == 0:
            self.wanted = self.rng.choice((0, 1, CUTS_IN_A_CALL))
        self.calls += 1
        text = self.guest.send(*words)
        self.trail.append(text)
        while (line := self.guest.line_there()) is None:
            # A stop may have been read together with an answer.
            if self.gdb.text or self.gdb.link in self.guest.wait(SECONDS, [self.gdb.link]):
                self.event()
            else:
                self.guest.read_line()
        if self.wanted > 0:
            self.wanted = 0
        try:
            result = self.guest.result(text, line)
        except Refused:
            self.trail[-1] += f" -> {line}"
            raise
        self.check_cuts()
        return result

    def user_flushed(self, frames, offset, length):
        end = offset + length
        for frame in frames:
            last = min(end, offset // PAGE * PAGE + PAGE)
            at = int(frame, 16) * PAGE + offset % PAGE - PMEM
            self.shadow.store(at, last - offset)
            offset = last

    def load(self, name):
        """The bytes of a file as programs read it now."""
        with self.no_cuts():
            length = int(self("load", name)[0], 16)
        parts = []
        for at in self.guest.buffer:
            if length > 0:
                parts.append(self.guest.memory[at:at + min(length, 2 << 20)])
            length -= 2 << 20
        return b"".join(parts)

    # --- the round

    def run(self, steps):
        self("mount", self.config.fs, "/dev/pmem0", self.config.options)
        for self.step in range(1, steps + 1):
            name = self.operations.step()
            self.trail[-1] += f"  # {name}, step {self.step}"
            if self.rng.random() < 0.3:
                self.cut_now()
            if self.step % 25 == 0:
                self.compare_live()
        self.leave()

    def compare_live(self):
        """The model is right about what a program reads."""
        for file in self.operations.slots.values():
            data = self.load(file.name)
            if data != file.data:
                live = type(file)(file.number, file.name, [file.data], False, True)
                raise GuestError(f"step {self.step}: {file.name} {live.problem(data)}, "
                                 "before any power cut")

    def leave(self):
        for slot in [*self.operations.slots, *self.operations.orphans]:
            self("close", slot)
        self("umount")
        self.operations.acknowledge_all()
        self.cut_now()
        self.checker.finish()


def keep(cut, folder):
    """The image and all that is known of it, for --replay."""
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "image.gz", "wb", compresslevel=1) as file:
        file.write(cut.image)
    image, cut.image, cut.spare = cut.image, b"", None
    (folder / "cut").write_bytes(pickle.dumps(cut))
    cut.image = image
    (folder / "story").write_text(
        f"{cut.problem}\n\nseed {cut.seed}, step {cut.step}, {cut.where}\n"
        f"{cut.config}\n\n" + "\n".join(cut.trail) + "\n")


def kept(folder):
    cut = pickle.loads((folder / "cut").read_bytes())
    cut.image = gzip.decompress((folder / "image.gz").read_bytes())
    return cut
