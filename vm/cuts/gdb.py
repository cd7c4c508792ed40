# SPDX-License-Identifier: GPL-2.0-only
"""Stops a guest where its kernel flushes persistent memory.

QEMU's gdb stub stops all CPUs at a breakpoint. The guest's kernel is not changed, and
takes no part in the observation.

The guest has one CPU. With two, a run stopped to answer after a while, probably when both
reached a breakpoint at once.
"""

import struct
import subprocess

from cuts.guests import GuestError

COPY_USER = "copy_user_flushcache"	# with __ before it in older kernels
DIRECT = 0xffff888000000000	# the direct map without KASLR, four-level page tables
PLACES = ("arch_wb_cache_pmem", "__memcpy_flushcache", COPY_USER, "nvdimm_flush")
# The registers in the order of the stub.
RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, RIP = 0, 1, 2, 3, 4, 5, 6, 7, 16
MOV_RSP_RBP = b"\x48\x89\xe5"
PROLOGUE = 32		# how far from the start of a function it is at most


class Vmlinux:
    """Symbols and text of a kernel."""

    def __init__(self, path):
        self.data = path.read_bytes()
        text = subprocess.run(["nm", path], stdout=subprocess.PIPE, check=True).stdout
        self.symbols = {name: int(addr, 16) for addr, _, name in
                        (line.split() for line in text.decode().splitlines()
                         if len(line.split()) == 3)}
        offset, = struct.unpack_from("<Q", self.data, 32)
        size, number = struct.unpack_from("<HH", self.data, 54)
        self.segments = [struct.unpack_from("<IIQQQQ", self.data, offset + i * size)
                         for i in range(number)]

    def text(self, address, length):
        for kind, _, offset, virtual, _, size in self.segments:
            if kind == 1 and virtual <= address < virtual + size:
                at = offset + address - virtual
                return self.data[at:at + length]
        raise GuestError(f"no text at {address:#x}")

    def frame(self, name):
        """The address of "mov %rsp,%rbp" at the start of a function: the arguments are
        in their registers, and it is easily done in the place of the CPU."""
        address = self.symbols.get(name) or self.symbols[f"__{name}"]
        at = self.text(address, PROLOGUE).find(MOV_RSP_RBP)
        if at < 0:
            raise GuestError(f"{name} does not begin with a frame")
        return address + at


class Gdb:
    """A connection to the stub."""

    def __init__(self, link):
        self.link, self.text, self.running = link, b"", False
        # It may tell first that the guest stops for this connection.
        self.send("qC")
        while not self.receive().startswith("QC"):
            pass
        # Registers can be set by those only who have asked what there are.
        self.ask("qXfer:features:read:target.xml:0,ffb")

    @staticmethod
    def packet(text):
        data = text.encode()
        return b"$%s#%02x" % (data, sum(data) & 255)

    def send(self, *texts):
        """A packet acknowledges the answer to the one before."""
        self.link.sendall(b"".join(self.packet(text) for text in texts))

    def receive(self):
        while b"#" not in self.text or len(self.text) < self.text.index(b"#") + 3:
            data = self.link.recv(65536)
            if not data:
                raise GuestError("the gdb stub is gone")
            self.text += data
        start, end = self.text.index(b"$"), self.text.index(b"#")
        # "+" says that a packet of ours has arrived. What is left is the next one.
        answer, self.text = self.text[start + 1:end], self.text[end + 3:].lstrip(b"+")
        return answer.decode(errors="replace")

    def ask(self, *texts):
        self.send(*texts)
        return [self.receive() for _ in texts][-1]

    def go(self):
        self.send("c")
        self.running = True

    def stopped(self):
        """Takes the news of a stop, and returns the registers."""
        self.receive()
        self.running = False
        return struct.unpack_from("<17Q", bytes.fromhex(self.ask("g")))

    def breakpoint(self, address, there=True):
        if self.ask(f"{'Z' if there else 'z'}0,{address:x},1") != "OK":
            raise GuestError(f"no breakpoint at {address:#x}")

    def read(self, address, length):
        """Virtual memory of the CPU that stopped."""
        parts = []
        while length:
            part = min(length, 1024)
            parts.append(bytes.fromhex(self.ask(f"m{address:x},{part:x}")))
            address, length = address + part, length - part
        return b"".join(parts)

    def go_past_frame(self, registers):
        """Does "mov %rsp,%rbp", and goes on."""
        rsp = struct.pack("<Q", registers[RSP]).hex()
        rip = struct.pack("<Q", registers[RIP] + len(MOV_RSP_RBP)).hex()
        self.send(f"P{RBP:x}={rsp}", f"P{RIP:x}={rip}", "c")
        if [self.receive(), self.receive()] != ["OK", "OK"]:
            raise GuestError("a register cannot be set")
        self.running = True

    def go_past(self, address):
        """Does the instruction at a breakpoint, and goes on."""
        self.breakpoint(address, False)
        self.ask("s")
        self.breakpoint(address)
        self.go()
