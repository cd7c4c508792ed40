# SPDX-License-Identifier: GPL-2.0-only
"""The programs of vm/apps: what each is, its sizes, and how it is called."""

import dataclasses
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Program:
    """One row of the table."""

    name: str
    what: str			# for people; {size} is the size
    size: int			# in "make apps", and, if it is not 0, in "make test"
    small: int
    command: tuple		# {dir}, {size}; {bin} has what is compiled, {src} is here
    source: str = ""		# what is compiled, and with which libraries
    libraries: tuple = ()
    prepare: tuple = ()		# a command that is not measured
    environment: tuple = ()
    traced: bool = True		# or instructions only
    never: bool = False		# on hugedax, also with dax=never

    def words(self, words, folder, binaries, size):
        values = {"dir": folder, "size": size, "bin": binaries, "src": HERE}
        return [word.format(**values) for word in words]

    def describe(self, size):
        return self.what.format(size=f"{size:,}")


def compiled(name, what, size, small, library, *arguments, source=None, **keywords):
    source = source or name
    return Program(name, what, size, small, ("{bin}/" + source, "{dir}", "{size}", *arguments),
                   source + ".c", (library,), **keywords)


# Debian's libpmemobj asks the driver how often power was lost; an emulated device
# does not know.
POOL = (("PMEMOBJ_CONF", "sds.at_create=0"),)

PROGRAMS = (
    compiled("lmdb", "LMDB: {size} records, map of 256 MiB, a commit per 1,000, read at random",
             100000, 5000, "-llmdb"),
    compiled("pool", "libpmemobj: pool of 256 MiB, {size} transactions of one allocation",
             50000, 2000, "-lpmemobj", environment=POOL),
    compiled("heap", "memkind: {size} blocks of up to 4 KiB, three rounds of free and fill",
             50000, 2000, "-lmemkind"),
    Program("sqlite", "SQLite: WAL, mmap_size 256 MiB, {size} rows", 100000, 5000,
            ("bash", "{src}/sqlite.sh", "{dir}", "{size}")),
    Program("fio-mmap", "fio mmap: {size} MiB, random 4 KiB writes, verified", 128, 8,
            ("bash", "{src}/fio.sh", "{dir}", "{size}", "mmap")),
    Program("fio-libpmem", "fio libpmem: the same on a file of {size} MiB made by dd", 128, 8,
            ("bash", "{src}/fio.sh", "{dir}", "{size}", "libpmem")),
    Program("jvm", "JVM: -XX:AllocateHeapAt, 256 MiB, {size} MiB of live arrays", 96, 0,
            ("java", "-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:AllocateHeapAt={dir}",
             "-cp", "{bin}", "Heap", "{size}"), "Heap.java"),
    compiled("rocksdb", "RocksDB: mmap reads and writes, {size} records of 400 bytes",
             100000, 0, "-lrocksdb"),
    Program("git", "git: clone, gc and fsck of {size} commits", 200, 20,
            ("bash", "{src}/git.sh", "{dir}", "{size}"),
            prepare=("bash", "{src}/git.sh", "prepare", "{size}")),
    compiled("heap-1", "memkind, conservative: {size} blocks", 20000, 500, "-lmemkind",
             "conservative", source="heap", traced=False, never=True),
    compiled("heap-2", "memkind, conservative: {size} blocks", 40000, 0, "-lmemkind",
             "conservative", source="heap", traced=False, never=True),
    Program("postgres", "PostgreSQL: checksums, {size} rows, killed in the middle", 20000, 0,
            ("bash", "{src}/postgres.sh", "{dir}", "{size}")),
)


def find(name):
    return next(program for program in PROGRAMS if program.name == name)
