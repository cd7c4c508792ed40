# SPDX-License-Identifier: GPL-2.0-only
"""Guests whose memory the host reads and writes, and the program in them.

QEMU's memory is a file that is mapped here, too. Persistent memory is a part of it.
"""

import atexit
import ctypes
import mmap
import os
import pathlib
import select
import socket
import subprocess
import time

import lib
from cuts.filesystems import scratch_file

SIZE = 14 << 30		# of a guest of vm/run
LOW = 2 << 30		# how much of it is below 4 GiB, on the machine q35
PMEM = 4 << 30		# where /dev/pmem0 begins
HUGE = 2 << 20
FRAME = 4096
AGENT = lib.BUILD / "guest/powercut"

# Emulated, "rep movsb" copies byte after byte. Without ERMS, the kernel and libc copy
# words, in a quarter of the time.
CPU = ("-cpu", "max,-erms") if os.environ.get("KVM") != "1" else ()

LIBC = ctypes.CDLL(None)
# Files and images are large, and new memory is slow: malloc keeps what was freed.
for parameter in (-1, -3):	# M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    LIBC.mallopt(parameter, 1 << 30)
MEMCMP = LIBC.memcmp
MEMCMP.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class GuestError(Exception):
    """A guest that ended, hangs or says what it should not."""


class Refused(Exception):
    """A command failed in the guest."""

    def __init__(self, command, errno):
        super().__init__(f"{command}: {os.strerror(errno)}")
        self.errno = errno


def place(phys):
    """The offset of a physical address in the file."""
    return phys if phys < LOW else phys - (4 << 30) + LOW


def build_agent():
    source = lib.VM / "guest/powercut.c"
    if AGENT.exists() and AGENT.stat().st_mtime > source.stat().st_mtime:
        return
    lib.step("CC", "vm/guest/powercut.c")
    AGENT.parent.mkdir(parents=True, exist_ok=True)
    if lib.call("gcc", "-O2", "-Wall", "-pthread", "-static", "-o", AGENT, source):
        lib.die("vm/guest/powercut.c does not compile; the errors are above")


def connect(path, seconds, child):
    end = time.monotonic() + seconds
    while True:
        try:
            link = socket.socket(socket.AF_UNIX)
            link.connect(str(path))
            return link
        except OSError:
            link.close()
            if child.poll() is not None:
                raise GuestError(f"vm/run ended with status {child.returncode}") from None
            if time.monotonic() > end:
                raise GuestError(f"nothing listens on {path}") from None
            time.sleep(0.05)


class Guest:
    """A guest of vm/run with the program powercut in it."""

    def __init__(self, kernel, name, folder, arguments=(), module=()):
        self.name, self.folder, self.text = name, folder, b""
        path = scratch_file(name)
        with open(path, "wb") as file:
            file.truncate(SIZE)
        line = folder / f"{name}.line"
        try:
            self.run = subprocess.Popen(
                [lib.VM / "run", "--as-built", "--kernel", kernel, "--name", f"powercut-{name}",
                 "--timeout", "1000000", "--smp", "1",
                 *self.options("-object", f"memory-backend-file,id=shared,size=14G,"
                               f"mem-path={path},share=on"),
                 *self.options("-machine", "memory-backend=shared", *CPU),
                 *self.options("-serial", f"unix:{line},server=on,wait=off"),
                 *arguments, AGENT, "/dev/ttyS1", *module],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=open(folder / f"{name}.stderr", "wb"))
            self.line = connect(line, 60, self.run)
            handle = os.open(path, os.O_RDWR)
        finally:
            path.unlink()
        atexit.register(self.kill)
        self.memory = mmap.mmap(handle, SIZE)
        os.close(handle)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.buffer = []

    @staticmethod
    def options(*words):
        return [part for word in words for part in ("--qemu", word)]

    def wait_ready(self, seconds=300):
        if self.answer(seconds) != "ready":
            raise GuestError(f"{self.name}: no program in the guest")
        self.buffer = [place(int(pfn, 16) * FRAME) for pfn in self.ask("buffer")]

    def select(self, links, seconds):
        """Waits for something to read; returns those that have it."""
        found, _, _ = select.select(links, [], [], seconds)
        if not found:
            raise GuestError(f"{self.name}: no answer for {seconds} seconds")
        return found

    def wait(self, seconds, others=()):
        return self.select([self.line, *others], seconds)

    def line_there(self):
        """A whole line of the program, or None."""
        if b"\n" in self.text:
            line, self.text = self.text.split(b"\n", 1)
            return line.decode().strip()
        return None

    def read_line(self):
        data = self.line.recv(65536)
        if not data:
            raise GuestError(f"{self.name}: the guest has ended")
        self.text += data

    def answer(self, seconds=300):
        while (line := self.line_there()) is None:
            self.wait(seconds)
            self.read_line()
        return line

    def send(self, *words):
        text = " ".join(w if isinstance(w, str) else f"{w:x}" for w in words)
        self.line.sendall(text.encode() + b"\n")
        return text

    @staticmethod
    def result(text, line):
        status, *words = line.split()
        if status != "ok":
            raise Refused(text, int(words[0]))
        return words

    def ask(self, *words):
        return self.result(self.send(*words), self.answer())

    def load(self, name):
        """The bytes of a file."""
        length = int(self.ask("load", name)[0], 16)
        parts = []
        for at in self.buffer:
            if length <= 0:
                break
            parts.append(self.memory[at:at + min(length, HUGE)])
            length -= HUGE
        return b"".join(parts)

    def pmem(self, offset, length):
        at = place(PMEM + offset)
        return memoryview(self.memory)[at:at + length]

    def set_pmem(self, image):
        at = place(PMEM)
        self.memory[at:at + len(image)] = image

    def kill(self):
        if self.run.poll() is None:
            self.run.terminate()

    def end(self, serve=lambda: None):
        """serve() does for the guest what it needs until it has ended."""
        try:
            self.send("quit")
            serve()
            self.run.wait(60)
        except (OSError, subprocess.TimeoutExpired):
            self.run.terminate()
            self.run.wait()
        return self.run.returncode
