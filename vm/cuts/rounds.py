# SPDX-License-Identifier: GPL-2.0-only
"""A round: a new filesystem, random operations, and power cuts among them.

Two guests take part. In the first one the operations run, and its kernel waits where it
flushes. The second one mounts the images that cuts leave.
"""

import contextlib
import dataclasses
import gzip
import os
import pickle
import queue
import random
import threading

from cuts import filesystems, probe
from cuts.guests import LOW, PMEM, SIZE, Guest, GuestError, Refused, connect, place
from cuts.operations import Operations
from cuts.probe import COPY, FENCE, WHERE, Probe
from cuts.shadow import KINDS, LINE, PAGE, Shadow

CUTS_IN_A_CALL = 2
SECTOR = 512
SECONDS = 300		# for a command in the guest
WAITING = 3		# images that wait for a check
TRAIL = 400		# calls that are kept with an image


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
    """The second guest: mounts an image, compares its files, and then fsck checks it.

    A thread checks, while the first guest goes on. A token is in a pipe for each image that
    may wait, so that who waits for one can also wait for an event of the first guest."""

    def __init__(self, guest, found):
        self.guest, self.found, self.fsck = guest, found, None
        self.checked, self.error = 0, None
        self.cuts = queue.SimpleQueue()
        self.idle = threading.Event()
        self.tokens, self.token = os.pipe()
        os.write(self.token, bytes(WAITING))
        threading.Thread(target=self.work, daemon=True).start()

    def put(self, cut):
        """Takes the token that is there."""
        os.read(self.tokens, 1)
        self.raise_error()
        self.cuts.put(cut)

    def finish(self):
        """All that was put is checked."""
        self.idle.clear()
        self.cuts.put(None)
        self.idle.wait()
        self.raise_error()

    def raise_error(self):
        if self.error:
            raise GuestError(f"the check: {self.error!r}")

    def work(self):
        while True:
            cut = self.cuts.get()
            try:
                if cut and not self.error:
                    self.check(cut)
                else:
                    self.end_fsck()
            except Exception as err:	# the main thread ends the run
                self.error = err
            if cut:
                os.write(self.token, bytes(1))
            else:
                self.idle.set()

    def check(self, cut):
        self.end_fsck()
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

    def end_fsck(self):
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
    """The first guest, and the probe in its kernel."""

    def __init__(self, kernel, folder):
        socket = folder / "doorbell"
        self.guest = Guest(kernel, "first", folder, Guest.options(*Probe.options(socket)),
                           [probe.build(kernel)])
        self.probe = Probe(self.guest, connect(socket, 10, self.guest.run))

    def wait_ready(self):
        self.guest.wait_ready()
        self.probe.start()

    def end(self):
        return self.guest.end(self.probe.answer_all)

    def bytes_at(self, phys, length):
        at = place(phys)
        if not (0 < phys < LOW or phys >= 4 << 30) or at + length > SIZE:
            raise GuestError(f"no memory is at {phys:#x}")
        return self.guest.memory[at:at + length]


class Round:
    """Also what Operations calls."""

    def __init__(self, machine, checker, config, seed, image, only=None):
        self.machine, self.checker, self.config, self.seed = machine, checker, config, seed
        self.guest, self.probe = machine.guest, machine.probe
        self.rng = random.Random(f"cuts {seed}")
        self.guest.set_pmem(image)
        self.shadow = Shadow(self.guest, place(PMEM), image)
        self.operations = Operations(random.Random(f"operations {seed}"), self,
                                     "reflink=1" in config.mkfs, only)
        self.step, self.trail, self.cuts = 0, [], []
        self.wanted, self.events, self.calls = 0, 0, 0

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
                      self.trail[-TRAIL:], "", self.shadow.spare)
            while self.checker.tokens not in self.guest.select(
                    [self.checker.tokens, self.probe.link], SECONDS):
                self.event()
            self.checker.put(cut)
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

    def on_device(self, phys):
        return 0 <= phys - PMEM < self.shadow.size

    def flushed_lines(self, phys, length):
        first = phys // LINE * LINE
        last = (phys + length + LINE - 1) // LINE * LINE
        self.shadow.flush(first - PMEM, self.machine.bytes_at(first, last - first))

    def copied(self, phys, source, length):
        # Both begin with a sector: written by the block driver.
        unit = LINE if (phys | source) % SECTOR else PAGE
        self.shadow.flush(phys - PMEM, self.machine.bytes_at(source, length), unit)

    def event(self):
        """The guest's kernel flushes or fences, and waits."""
        event = self.probe.event()
        if event.kind == FENCE:
            self.shadow.fence()
        elif self.on_device(event.to):
            if event.kind == COPY:
                self.copied(event.to, event.source, event.length)
            else:
                self.flushed_lines(event.to, event.length)
        self.events += 1
        self.maybe_take(event.kind)
        self.probe.answer(event)

    def maybe_take(self, kind):
        if self.wanted <= 0:
            return
        usual = 1 + self.events / (self.calls + 1)
        if self.rng.random() < (4 if kind == FENCE else 1) / usual:
            self.wanted -= 1
            self.take(f"at {WHERE[kind]}")

    # --- calls

    def __call__(self, *words):
        if self.wanted == 0:
            self.wanted = self.rng.choice((0, 1, CUTS_IN_A_CALL))
        self.calls += 1
        text = self.guest.send(*words)
        self.trail.append(text)
        while (line := self.guest.line_there()) is None:
            if self.probe.link in self.guest.wait(SECONDS, [self.probe.link]):
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
        if result:
            self.trail[-1] += f" -> {' '.join(result)}"
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
