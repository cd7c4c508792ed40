# SPDX-License-Identifier: GPL-2.0-only
"""Random operations on files, and what each of them may make of the files.

An operation is drawn from a seed. It says to the model first what it stores, so that a
cut in the middle finds the new version there, and acknowledges when it has returned.
"""

from cuts.guests import Refused
from cuts.model import LINE, File, base, pattern

PAGE = 4096
WINDOW = 2 << 20
PIECE = 256 << 10
LONGEST = 5 << 20
SLOTS = 5
HUGE, SMALL = 0, 1
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 3, 8, 16, 32, 64
RACES = 40

# Each operation, how often it is drawn, and whether it needs files that share blocks.
WEIGHTS = {
    "create": 8, "store": 14, "store_window": 4, "fsync": 8, "msync": 8, "sync": 2,
    "sync_store": 8, "write": 10, "punch": 5, "zero": 4, "truncate": 4,
    "collapse_range": 3, "insert_range": 3, "allocate": 3, "touch": 3, "promote": 4,
    "relocate": 3, "unlink": 3, "close_orphan": 3, "freeze": 1, "race": 1,
}
SHARED = {"clone": 8, "dedupe": 3, "unshare": 3, "store_shared": 6}
NAMES = [*WEIGHTS, *SHARED]


def zeroes(length):
    return bytes(max(length, 0))


class Operations:
    """The files of a round. call() runs a command in the guest, and takes cuts."""

    def __init__(self, rng, call, can_clone, only=None):
        self.rng, self.call = rng, call
        self.slots = {}		# open files by slot
        self.deleted = []	# they may come back
        self.orphans = []	# slots of deleted files that are still open
        self.sharing = set()	# numbers of files that may share blocks
        self.touched = {}	# files that the current operation changes, by slot
        self.numbers = self.generations = 0
        weights = WEIGHTS | SHARED if can_clone else WEIGHTS
        self.weights = {name: weight for name, weight in weights.items()
                        if not only or name in only}

    def step(self):
        """One operation; returns its name."""
        name, = self.rng.choices([*self.weights], [*self.weights.values()])
        if not self.slots:
            name = "create"
        getattr(self, name)()
        self.settle_sharing()
        return name

    # --- what the operations draw

    def file(self, least=PAGE):
        """A file with so many bytes; the slot of another size if there is none."""
        slots = [s for s, f in self.slots.items() if f.size >= least]
        slot = self.rng.choice(slots or [*self.slots])
        return slot, self.slots[slot]

    def span(self, file, longest, unit):
        """A range inside the file, in units."""
        units = file.size // unit
        if not units:
            return 0, file.size
        length = self.rng.randint(1, max(1, min(units, longest // unit)))
        return self.rng.randint(0, units - length) * unit, length * unit

    def bytes_for(self, file, offset, length, times=1):
        """A base that was not used before, and the bytes."""
        start = base(file.number, self.generations + 1)
        self.generations += times
        return start, pattern(start + (times - 1 << 20), offset, length)

    def do(self, files, *words):
        """Runs a command for a slot. If it fails, the files are what a program reads
        now."""
        self.touched.update((words[1], file) for file in files)
        try:
            return self.call(*words)
        except Refused:
            for file in files:
                data = self.call.load(file.name)
                if data != file.data:
                    file.push(data)
            self.call.check_cuts()
            return None

    # --- bytes

    def create(self):
        free = [s for s in range(SLOTS) if s not in self.slots and s not in self.orphans]
        if not free:
            self.store()
            return
        self.numbers += 1
        slot, file = free[0], File(self.numbers, f"f{self.numbers:04}")
        self.slots[slot] = file
        self.call("open", slot, file.name)
        how = self.rng.choice(("allocate", "hole", "write", "write window"))
        length = self.rng.choice((2, 4, 4, 4)) * (1 << 20)
        if how == "allocate":
            file.push(zeroes(length))
            self.do([file], "falloc", slot, 0, 0, length)
        elif how == "hole":
            file.push(zeroes(length))
            self.do([file], "truncate", slot, length)
        else:
            length = WINDOW if how == "write window" else 16 * PAGE
            start, data = self.bytes_for(file, 0, length)
            file.push(data)
            self.do([file], "write", slot, 0, length, start, 0)

    def store_at(self, slot, file, offset, length, view):
        if not length:
            return
        start, data = self.bytes_for(file, offset, length)
        file.push(file.replaced(offset, data))
        self.do([file], "store", slot, view, offset, length, start)

    def store(self):
        slot, file = self.file()
        offset, length = self.span(file, *self.rng.choice(
            ((8 * PAGE, PAGE), (PAGE, LINE), (3 * PAGE, LINE), (300, 8))))
        self.store_at(slot, file, offset, length, self.rng.choice((HUGE, HUGE, SMALL)))

    def store_window(self):
        slot, file = self.file(WINDOW)
        offset, length = self.span(file, WINDOW, WINDOW)
        self.store_at(slot, file, offset, min(length, WINDOW), HUGE)

    def write(self):
        slot, file = self.file()
        if self.rng.random() < 0.2:
            offset, length = file.size, self.rng.choice((100, PAGE, 40 * PAGE))
        else:
            offset, length = self.span(file, *self.rng.choice(
                ((64 * PAGE, PAGE), (PAGE, 8), (PAGE, 1), (WINDOW, PAGE))))
        if not length or offset + length > LONGEST:
            return
        start, data = self.bytes_for(file, offset, length)
        file.push(file.replaced(offset, data))
        dsync = self.rng.random() < 0.4
        upto = len(file.versions) - 1
        done = self.do([file], "write", slot, offset, length, start, int(dsync))
        if dsync and done is not None:
            file.acknowledge_range(upto, offset, offset + length)

    def sync_store(self):
        slot, file = self.file()
        offset, length = self.span(file, 3 * PAGE, LINE)
        if length % LINE or not length:
            return
        start, data = self.bytes_for(file, offset, length)
        file.push(file.replaced(offset, data))
        upto = len(file.versions) - 1
        frames = self.do([file], "sync_store", slot, offset, length, start)
        if frames is not None:
            self.call.user_flushed(frames, offset, length)
            file.acknowledge_range(upto, offset, offset + length)

    def touch(self):
        slot, file = self.file()
        offset, length = self.span(file, WINDOW, PAGE)
        self.do([], "touch", slot, self.rng.choice((HUGE, SMALL)), offset, length)

    def promote(self):
        """Small pages, then a huge one."""
        slot, file = self.file(WINDOW)
        if file.size < WINDOW:
            return
        offset = self.rng.randrange(file.size // WINDOW) * WINDOW
        page = offset + self.rng.randrange(WINDOW // PAGE) * PAGE
        self.store_at(slot, file, page, PAGE, SMALL)
        if self.rng.random() < 0.5:
            self.do([], "touch", slot, SMALL, offset, WINDOW)
        self.do([], "collapse", slot, offset, WINDOW)
        page = offset + self.rng.randrange(WINDOW // PAGE) * PAGE
        self.store_at(slot, file, page, PAGE, HUGE)

    def relocate(self):
        """A window in pieces, whose blocks a collapse moves. Stock moves none."""
        slot, file = self.file(WINDOW)
        if file.size < WINDOW or self.do([], "align", 0) is None:
            return
        offset = self.rng.randrange(file.size // WINDOW) * WINDOW
        file.push(file.replaced(offset, zeroes(WINDOW)))
        self.do([file], "falloc", slot, PUNCH, offset, WINDOW)
        for at in reversed(range(offset, offset + WINDOW, PIECE)):
            self.do([file], "falloc", slot, KEEP_SIZE, at, PIECE)
        start, data = self.bytes_for(file, offset, WINDOW)
        file.push(file.replaced(offset, data))
        self.do([file], "write", slot, offset, WINDOW, start, 0)
        self.call("align", 1)
        if self.rng.random() < 0.7:
            self.settle(slot, file)
        self.do([], "collapse", slot, offset, WINDOW)
        page = offset + self.rng.randrange(WINDOW // PAGE) * PAGE
        self.store_at(slot, file, page, PAGE, HUGE)

    # --- acknowledgements

    def fsync(self):
        slot, file = self.file()
        upto = len(file.versions) - 1
        data_only = self.rng.random() < 0.3
        if self.do([], "fsync", slot, int(data_only)) is not None:
            file.acknowledge(upto)

    def msync(self):
        slot, file = self.file()
        offset, length = self.span(file, *self.rng.choice(
            ((8 * PAGE, PAGE), (PAGE, PAGE), (LONGEST, PAGE), (WINDOW, PAGE))))
        if not length:
            return
        upto = len(file.versions) - 1
        if self.do([], "msync", slot, offset, length) is not None:
            file.acknowledge_range(upto, offset, offset + length)

    def acknowledge_all(self):
        for file in self.slots.values():
            file.acknowledge(len(file.versions) - 1)
        self.deleted.clear()

    def sync(self):
        self.call("sync")
        self.acknowledge_all()

    def freeze(self):
        self.call("freeze", 1)
        self.acknowledge_all()
        self.call.cut_now()
        self.call("freeze", 0)

    def race(self):
        """Stores and msyncs, with faults on the same page by another thread."""
        slot, file = self.file()
        offset, length = self.span(file, PAGE, PAGE)
        if length != PAGE:
            return
        start, data = self.bytes_for(file, offset, LINE, RACES)
        file.push(file.replaced(offset, data))
        upto = len(file.versions) - 1
        with self.call.no_cuts():
            done = self.do([file], "race", slot, offset, RACES, start)
        if done is not None:
            file.acknowledge_range(upto, offset, offset + LINE)
        self.call.cut_now()

    # --- blocks

    def clear(self, mode):
        slot, file = self.file()
        offset, length = self.span(file, *self.rng.choice(
            ((8 * PAGE, PAGE), (3 * PAGE, 1), (WINDOW, WINDOW), (WINDOW, PAGE))))
        if not length:
            return
        file.push(file.replaced(offset, zeroes(length)))
        self.do([file], "falloc", slot, mode, offset, length)

    def punch(self):
        self.clear(PUNCH)

    def zero(self):
        self.clear(ZERO | self.rng.choice((0, KEEP_SIZE)))

    def truncate(self):
        slot, file = self.file()
        size = self.rng.randrange(LONGEST) if self.rng.random() < 0.4 else \
            self.rng.randrange(LONGEST // PAGE) * PAGE
        file.push(file.data[:size] + zeroes(size - file.size))
        self.do([file], "truncate", slot, size)

    def allocate(self):
        slot, file = self.file()
        end = self.rng.randrange(1, LONGEST // PAGE) * PAGE
        keep = self.rng.random() < 0.5
        if not keep and end > file.size:
            file.push(file.data + zeroes(end - file.size))
        self.do([file], "falloc", slot, int(keep), 0, end)

    def settle(self, slot, file):
        """Commits a change of blocks. A store before that would be at the old offset if
        the power is cut, since it changes the block in place: journals allow that."""
        upto = len(file.versions) - 1
        if self.do([], "fsync", slot, 0) is not None:
            file.acknowledge(upto)

    def settle_sharing(self):
        """Commits that a file has lost blocks which it shared. The other file owns them
        from then on, and stores to them in place: if the power is cut before the commit,
        the first file has the bytes of the other. XFS allows that, for all files."""
        touched, self.touched = self.touched, {}
        for slot, file in touched.items():
            if file.number in self.sharing and self.slots.get(slot) is file:
                self.settle(slot, file)

    def collapse_range(self):
        slot, file = self.file(2 * PAGE)
        offset, length = self.span(file, 64 * PAGE, PAGE)
        if offset + length >= file.size:
            return
        old = file.data
        # Block after block moves, and leaves a hole.
        file.push(old[:offset] + zeroes(len(old) - offset))
        file.push(old[:offset] + old[offset + length:])
        self.do([file], "falloc", slot, COLLAPSE, offset, length)
        self.settle(slot, file)

    def insert_range(self):
        slot, file = self.file(2 * PAGE)
        offset, length = self.span(file, 64 * PAGE, PAGE)
        if offset >= file.size or file.size + length > LONGEST:
            return
        old = file.data
        file.push(old + zeroes(length))
        file.push(old[:offset] + zeroes(len(old) - offset + length))
        file.push(old[:offset] + zeroes(length) + old[offset:])
        self.do([file], "falloc", slot, INSERT, offset, length)
        self.settle(slot, file)

    # --- shared blocks

    def clone(self):
        slot, file = self.file()
        other, source = self.file()
        offset, length = self.span(source, self.rng.choice((8 * PAGE, WINDOW)), PAGE)
        at = self.rng.choice((offset, file.size // PAGE // 2 * PAGE))
        if not length or length % PAGE or at + length > LONGEST or slot == other or \
           at > file.size:
            return
        file.push(file.replaced(at, source.data[offset:offset + length]))
        self.sharing |= {file.number, source.number}
        self.do([file], "clone", slot, at, other, offset, length)

    def dedupe(self):
        slot, file = self.file()
        other, source = self.file()
        offset, length = self.span(file, 16 * PAGE, PAGE)
        if slot == other or length % PAGE or offset + length > source.size:
            return
        self.sharing |= {file.number, source.number}
        start, data = self.bytes_for(file, offset, length)
        for at, each in ((slot, file), (other, source)):
            each.push(each.replaced(offset, data))
            self.do([each], "write", at, offset, length, start, 0)
        self.do([], "dedupe", slot, offset, other, offset, length)

    def store_shared(self):
        """Blocks that became shared are stored to."""
        self.clone()
        for slot in self.rng.sample([*self.slots], min(2, len(self.slots))):
            file = self.slots[slot]
            offset, length = self.span(file, *self.rng.choice(((PAGE, LINE), (300, 8))))
            self.settle_sharing()
            self.store_at(slot, file, offset, length, self.rng.choice((HUGE, SMALL)))

    def unshare(self):
        slot, file = self.file()
        offset, length = self.span(file, WINDOW, PAGE)
        if length:
            self.do([file], "falloc", slot, UNSHARE, offset, length)

    # --- names

    def unlink(self):
        if len(self.slots) < 3:
            return
        slot = self.rng.choice([*self.slots])
        file = self.slots.pop(slot)
        file.may_lack = True
        self.deleted.append(file)
        self.orphans.append(slot)
        self.call("unlink", file.name)
        if self.rng.random() < 0.5:
            self.close_orphan()

    def close_orphan(self):
        if not self.orphans:
            return
        self.call("close", self.orphans.pop())
        if self.sharing:
            self.sync()
