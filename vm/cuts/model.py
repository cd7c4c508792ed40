# SPDX-License-Identifier: GPL-2.0-only
"""What the files of an image may hold after a power cut.

A file has versions: the last one is what a program reads, the first one is what was
acknowledged, and those between are what it was in the meantime. After a cut, each 8 bytes
of the file are those of one of the versions: a cut leaves whole cache lines, and a program
may have stored a part of a line. An acknowledgement replaces the older
versions, for all of the file or for a range.

A file that was created or deleted without an acknowledgement may be there or not.
"""

import dataclasses

LINE = 64
STEPS = (1 << 16, 4096, LINE, 8)
MAGIC = 0xa5 << 56


def base(number, generation):
    """Of the bytes of a store: which file they are for, and the how manieth it is."""
    return MAGIC | number << 44 | generation << 20


def pattern(start, offset, length):
    """The bytes for a range of a file, as the guest makes them."""
    first, last = offset // LINE, (offset + length + LINE - 1) // LINE
    data = b"".join([(start + line).to_bytes(8, "little") * 8
                     for line in range(first, last)])
    skip = offset - first * LINE
    return data[skip:skip + length]


def describe(data):
    """Whose bytes these are, as far as they say."""
    word = int.from_bytes(data[:8], "little")
    if not any(data):
        return "zeroes"
    if word >> 56 == MAGIC >> 56:
        return (f"store {word >> 20 & 0xffffff:#x} to file {word >> 44 & 0xfff:#x} "
                f"at {(word & 0xfffff) * LINE:#x}")
    return repr(data[:16])


def padded(data, length):
    return data if len(data) >= length else data + bytes(length - len(data))


@dataclasses.dataclass
class File:
    number: int
    name: str
    versions: list = dataclasses.field(default_factory=lambda: [b""])
    may_lack: bool = True		# it may not be there
    may_exist: bool = True		# it may be there

    @property
    def data(self):
        return self.versions[-1]

    @property
    def size(self):
        return len(self.versions[-1])

    def push(self, data):
        self.versions.append(bytes(data))

    def replaced(self, offset, data):
        """The last version with @data at @offset."""
        old = padded(self.data, offset)
        return old[:offset] + data + old[offset + len(data):]

    def acknowledge(self, upto):
        """All of version @upto is durable."""
        del self.versions[:upto]
        self.may_lack = False

    def acknowledge_range(self, upto, first, last):
        """The range of version @upto is durable, so the file is not shorter."""
        new = self.versions[upto][first:last]
        for i in range(upto):
            old = padded(self.versions[i], last)
            self.versions[i] = old[:first] + new + old[last:]

    def copy(self):
        return File(self.number, self.name, list(self.versions), self.may_lack,
                    self.may_exist)

    def problem(self, image):
        """What is wrong with the file in an image, or None. No bytes: it is not there."""
        if image is None:
            return None if self.may_lack else "is lost"
        if not self.may_exist:
            return "is there, though it was deleted"
        sizes = [len(version) for version in self.versions]
        if not min(sizes) <= len(image) <= max(sizes):
            return f"has {len(image):#x} bytes, not {min(sizes):#x} to {max(sizes):#x}"
        length = max(sizes)
        versions = [padded(version, length) for version in self.versions]
        bad = self.differing(padded(image, length), versions, 0, length, STEPS)
        if not bad:
            return None
        at = bad[0] // LINE * LINE
        want = dict.fromkeys(describe(v[at:at + LINE]) for v in versions)
        return (f"at {at:#x}: {describe(image[at:at + LINE])}, not {' or '.join(want)} "
                f"({len(bad)} bad words, the last at {bad[-1]:#x})")

    def differing(self, image, versions, first, last, steps):
        step, bad = steps[0], []
        for at in range(first, last, step):
            end = min(at + step, last)
            part = image[at:end]
            if any(version[at:end] == part for version in versions):
                continue
            bad += self.differing(image, versions, at, end, steps[1:]) if steps[1:] else [at]
        return bad
