#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The test of daxmap in a guest; vm/daxmap runs it.

    daxmap.py DAXMAP [WORD...]

It makes filesystems whose blocks are aligned in memory, or are not because of one
layer, and files of each sort in them. daxmap predicts what a fault gets in each
2 MiB of each file; then the file is mapped and touched there, by reads, and by
writes after a new mount, and PAGEMAP_SCAN says what it got. The layer that daxmap
blames must be the one that was set wrong. With WORD, only the setups whose name
has it run. The output is KTAP.
"""

import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys

SZ_4K, SZ_2M = 1 << 12, 2 << 20
MIB = 1 << 20
PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MAP_FIXED = 1, 2, 1, 2, 16
MAP_ANONYMOUS = 0x20
PAGEMAP_SCAN = 0xc0606610
PRESENT, ZERO, HUGE = 1 << 3, 1 << 5, 1 << 6
NOBODY = 65534
MNT = "/mnt"
OURS = os.path.exists("/sys/module/fs_dax/parameters/promote")

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

DAXMAP = os.path.abspath(sys.argv[1])
SOURCE = f". {pathlib.Path(__file__).resolve().parents[1] / 'filesystems'}"


class Skip(Exception):
    """The reason why something cannot be tested here."""


# --- small things ------------------------------------------------------------------


def sh(command, check=True):
    run = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    if check and run.returncode:
        raise RuntimeError(f"{command}: {run.stdout[:200]}")
    return run.stdout


def daxmap(*args):
    """(exit status, output, errors)"""
    run = subprocess.run([DAXMAP, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, check=False)
    return run.returncode, run.stdout, run.stderr


def tables(*args):
    """(exit status, the tables of the only target)"""
    status, text, errors = daxmap("-J", *args)
    if not text:
        raise RuntimeError(f"daxmap {args}: status {status}: {errors}")
    return status, json.loads(text)["targets"][0]


def fill(path, size, at=0):
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        file.seek(at)
        for start in range(0, size, MIB):
            file.write(b"f" * min(MIB, size - start))


# --- mappings, and what they got ------------------------------------------------------


class Regions(ctypes.Structure):
    _fields_ = [("start", ctypes.c_uint64), ("end", ctypes.c_uint64), ("is", ctypes.c_uint64)]


class ScanArg(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in (
        "size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages",
        "inverted", "mask", "anyof", "returned")]


def scan(start, end):
    """[(start, end, size)] of what is mapped in this process."""
    found = []
    vec = (Regions * 512)()
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    while start < end:
        arg = ScanArg(ctypes.sizeof(ScanArg), 0, start, end, 0, ctypes.addressof(vec), 512, 0, 0,
                      PRESENT, 0, PRESENT | ZERO | HUGE)
        nr = libc.ioctl(fd, ctypes.c_ulong(PAGEMAP_SCAN), ctypes.byref(arg))
        if nr < 0:
            raise OSError(ctypes.get_errno(), "PAGEMAP_SCAN")
        for region in vec[:nr]:
            what = getattr(region, "is")
            size = "2M" if what & HUGE else "4K"
            found.append((region.start, region.end, size + " zero" * bool(what & ZERO)))
        start = arg.walk_end
    os.close(fd)
    return found


class Mapping:
    """Of a whole file, at addresses that are those of the file modulo 2 MiB."""

    def __init__(self, path, write, private=False, shift=0):
        self.len = (os.path.getsize(path) + SZ_4K - 1) // SZ_4K * SZ_4K
        fd = os.open(path, os.O_RDWR if write else os.O_RDONLY)
        room = libc.mmap(None, self.len + 2 * SZ_2M, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        self.start = (room + SZ_2M - 1) // SZ_2M * SZ_2M + shift
        got = libc.mmap(self.start, self.len, PROT_READ | PROT_WRITE * write,
                        MAP_FIXED | (MAP_PRIVATE if private else MAP_SHARED), fd, 0)
        os.close(fd)
        if got != self.start:
            raise OSError(ctypes.get_errno(), "mmap")

    def touch(self, write, step=SZ_2M):
        for at in range(self.start, self.start + self.len, step):
            byte = ctypes.c_char.from_address(at)
            if write:
                byte.value = b"w"
            else:
                byte.value	# pylint: disable=pointless-statement

    def size_at(self, offset):
        got = scan(self.start + offset, self.start + offset + SZ_4K)
        return got[0][2] if got else "none"

    def pages(self):
        """The size of each page that is mapped, by address."""
        return {at: size for start, end, size in scan(self.start, self.start + self.len)
                for at in range(start, end, SZ_4K)}

    def drop(self):
        libc.munmap(self.start, self.len)


def got_in(path, write):
    m = Mapping(path, write)
    m.touch(write)
    sizes = [m.size_at(at) for at in range(0, m.len, SZ_2M)]
    m.drop()
    return sizes


# --- results -------------------------------------------------------------------------


class Results:
    """Prints KTAP and counts."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def result(self, name, problems, notes=()):
        number = self.passed + self.failed + self.skipped + 1
        for line in list(problems) + list(notes):
            print(f"# {line}")
        print(f"{'not ok' if problems else 'ok'} {number} {name}", flush=True)
        if problems:
            self.failed += 1
        else:
            self.passed += 1

    def skip(self, name, reason):
        self.skipped += 1
        number = self.passed + self.failed + self.skipped
        print(f"ok {number} {name} # SKIP {reason}", flush=True)


results = Results()


# --- filesystems -----------------------------------------------------------------------


class Setup:
    """A filesystem on a device. @layer is at fault for whole ranges, or none is."""

    def __init__(self, name, device, mkfs, layer=None, before="", after="", options="",
                 prepare="", exact=True):
        self.name, self.device, self.mkfs, self.layer = name, device, mkfs, layer
        self.before, self.after, self.prepare = before, after, prepare
        self.options = "dax=always" + options
        self.exact = exact	# each user can tell

    def mount(self):
        sh(f"mount -o {self.options} {self.device} {MNT}")

    def remount(self):
        sh(f"umount {MNT}")
        self.mount()

    def make(self):
        sh(self.before)
        sh(f"{self.mkfs} {self.device}")
        self.mount()
        sh(self.prepare)
        os.chmod(MNT, 0o777)

    def remove(self):
        sh(f"umount {MNT}; {self.after or 'true'}", check=False)


XFS, XFS_ALIGNED, EXT4, EXT4_ALIGNED = sh(
    f"{SOURCE}; for fs in xfs ext4; do fs_words $fs mkfs plain; fs_words $fs mkfs aligned; done"
).splitlines()
HINT = f"{SOURCE}; align_files xfs {MNT}"
SECTORS = 2 << 20	# 1 GiB


def linear(offset):
    return (f"dmsetup create daxmap --table '0 {SECTORS} linear /dev/pmem1 {offset}'; "
            "udevadm settle 2>/dev/null; test -e /dev/mapper/daxmap || dmsetup mknodes")


def partition(start):
    return f"addpart /dev/pmem1 1 {start} {SECTORS}"


def namespace(align):
    return f"ndctl create-namespace -f -e namespace1.0 --mode=fsdax --align={align} >/dev/null"


DM, PART = "/dev/mapper/daxmap", "/dev/pmem1p1"
DROP_DM, DROP_PART = "dmsetup remove daxmap", "delpart /dev/pmem1 1"
NO_REFLINK = " -m reflink=0"

setups = [
    Setup("xfs plain", "/dev/pmem0", XFS),
    Setup("xfs aligned", "/dev/pmem0", XFS_ALIGNED, prepare=HINT),
    Setup("ext4 plain", "/dev/pmem0", EXT4),
    Setup("ext4 aligned", "/dev/pmem0", EXT4_ALIGNED),
    Setup("xfs partition 1M", PART, XFS_ALIGNED + NO_REFLINK, "partition", partition(2048),
          DROP_PART, prepare=HINT),
    Setup("xfs partition 2M", PART, XFS_ALIGNED + NO_REFLINK, None, partition(4096), DROP_PART,
          prepare=HINT),
    Setup("ext4 partition 1M", PART, EXT4_ALIGNED, "partition", partition(2048), DROP_PART),
    Setup("xfs dm 1M", DM, XFS_ALIGNED, "dm", linear(2048), DROP_DM, prepare=HINT, exact=False),
    Setup("xfs dm 0", DM, XFS_ALIGNED, None, linear(0), DROP_DM, prepare=HINT, exact=False),
    Setup("ext4 dm 1M", DM, EXT4_ALIGNED, "dm", linear(2048), DROP_DM, exact=False),
    Setup("ext4 dm in pieces", DM, EXT4_ALIGNED, None,
          f"dmsetup create daxmap --table $'0 {SECTORS // 2 + 2048} linear /dev/pmem1 0\\n"
          f"{SECTORS // 2 + 2048} {SECTORS // 2 - 2048} linear /dev/pmem1 {SECTORS}'; "
          "dmsetup mknodes", DROP_DM, exact=False),
    Setup("xfs realtime", "/dev/pmem0", XFS + " -r rtdev=/dev/pmem1,size=512m,extsize=2m",
          options=",rtdev=/dev/pmem1", prepare=f"xfs_io -c 'chattr +t' {MNT}"),
    Setup("xfs realtime partition 1M", "/dev/pmem0",
          XFS + f" -r rtdev={PART},size=256m,extsize=2m", "partition", partition(2048), DROP_PART,
          options=f",rtdev={PART}", prepare=f"xfs_io -c 'chattr +t' {MNT}"),
    Setup("xfs namespace 2M", "/dev/pmem1", XFS_ALIGNED, None, namespace("2M"), prepare=HINT),
    # The kernel places the data of such a namespace at a multiple of 2 MiB all the same.
    Setup("xfs namespace 4K", "/dev/pmem1", XFS_ALIGNED, None, namespace("4K"), prepare=HINT),
]


# --- files --------------------------------------------------------------------------------


def make_files(setup):
    """Files of each sort, by name."""
    name = {n: f"{MNT}/{n}" for n in ("written", "unwritten", "mixed", "hole", "holes", "small",
                                      "tail", "fragmented", "grown")}
    sh(f"fallocate -l 16M {name['written']}")
    fill(name["written"], 16 * MIB)
    sh(f"fallocate -l 8M {name['unwritten']}")
    sh(f"fallocate -l 8M {name['mixed']}")
    fill(name["mixed"], MIB, 3 * MIB)			# unwritten, written
    fill(name["mixed"], MIB, 4 * MIB)			# written, unwritten
    fill(name["mixed"], MIB // 2, 6 * MIB + MIB // 2)	# unwritten, written, unwritten
    sh(f"truncate -s 8M {name['hole']}")
    fill(name["holes"], 6 * MIB)
    sh(f"fallocate -p -o 3M -l 64K {name['holes']}")
    fill(name["small"], 100000)
    fill(name["tail"], 5 * MIB + 1234)
    for i in range(16):	# two files take turns
        fill(name["fragmented"], 256 * 1024, i * 256 * 1024)
        fill(name["grown"], 256 * 1024, i * 256 * 1024)
    if setup.mkfs.startswith("mkfs.xfs") and "reflink=0" not in setup.mkfs and \
       "realtime" not in setup.name:
        name["shared"] = f"{MNT}/shared"
        sh(f"cp --reflink=always {name['written']} {name['shared']}")
    sh("sync")
    return name


def predictions(files):
    found = {}
    for name, path in files.items():
        status, target = tables("--list", path)
        found[name] = (status, target.get("ranges", []))
    return found


def compare(name, ranges, got, access, notes):
    """What was predicted and did not come, as lines."""
    wrong = []
    if len(ranges) != len(got):
        return [f"{name}: {len(ranges)} ranges predicted, {len(got)} there"]
    for r, size in zip(ranges, got):
        want = r[access]
        if want == "any":
            notes.append(f"{name} at {r['offset']} {access}: {r['blocks']}, got {size}")
        elif want != size and not (want == "4K" and size == "4K zero"):
            wrong.append(f"{name} at {r['offset']} ({r['blocks']}): {access} predicted {want},"
                         f" got {size}, reason {r['reason']}")
    return wrong


def blamed(setup, ranges):
    """Lines where the layer is not the one that was set wrong."""
    wrong = []
    for r in ranges:
        if r["reason"] != "misaligned-pfn":
            continue
        if setup.layer and r["layer"] != setup.layer:
            wrong.append(f"at {r['offset']}: blames {r['layer']}, and {setup.layer} is at fault")
        elif not setup.layer and r["layer"] != "extent":
            wrong.append(f"at {r['offset']}: blames {r['layer']}, where only blocks can be")
    return wrong


def as_nobody(call):
    """(exit status, what the call returned) in a process of another user."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            libc.prctl(4, 1, 0, 0, 0)	# PR_SET_DUMPABLE, or /proc/self belongs to root
            text = json.dumps(call())
        except BaseException as error:	# pylint: disable=broad-except
            text = json.dumps(f"{type(error).__name__}: {error}")
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


# --- tests of a setup -----------------------------------------------------------------------


def check_nobody(setup, files, predicted):
    problems = []
    found = as_nobody(lambda: predictions(files))
    if isinstance(found, str):
        return [found]
    for name, (status, ranges) in found.items():
        root = predicted[name][1]
        if not setup.exact:
            if any(r["reason"] == "misaligned-pfn" or r["write"] == "2M" for r in root) and \
               status != 4:
                problems.append(f"{name}: status {status} where the dm table is hidden")
            continue
        keys = ("offset", "write", "read", "reason", "layer")
        if [[r[k] for k in keys] for r in ranges] != [[r[k] for k in keys] for r in root]:
            problems.append(f"{name}: uid {NOBODY} is told other things than root")
    return problems


def check_setup(setup):
    files = make_files(setup)
    setup.remount()
    predicted = predictions(files)
    notes, wrong = [], []
    for access in ("read", "write"):
        setup.remount()
        for name, path in files.items():
            wrong += compare(name, predicted[name][1], got_in(path, access == "write"), access,
                             notes)
        results.result(f"{setup.name}: {access} faults get what is predicted", wrong)
        wrong = []
    for name in files:
        wrong += [f"{name} {line}" for line in blamed(setup, predicted[name][1])]
    if setup.layer and not any(r["layer"] == setup.layer
                               for _, ranges in predicted.values() for r in ranges):
        wrong.append(f"nothing blames {setup.layer}")
    results.result(f"{setup.name}: the layer at fault is blamed", wrong)
    # The faults of before have changed holes and unwritten blocks.
    results.result(f"{setup.name}: uid {NOBODY}",
                   check_nobody(setup, files, predictions(files)))
    print(f"# {len(notes)} ranges that the allocator decides", flush=True)


# --- tests of processes ------------------------------------------------------------------------


def expand(ranges):
    return {at: r["mapped"] for r in ranges
            for at in range(int(r["address"], 16), int(r["address"], 16) + int(r["length"]), SZ_4K)}


def check_view(mapping, reason):
    """daxmap's view of this process against PAGEMAP_SCAN, and the reason of what is small."""
    status, target = tables("--list", "-p", str(os.getpid()))
    seen, there = expand(target.get("ranges", [])), mapping.pages()
    problems = []
    if status != 0:
        problems.append(f"status {status}")
    if seen != there:
        problems.append(f"daxmap sees {len(seen)} pages, PAGEMAP_SCAN {len(there)}, and"
                        f" {sum(seen.get(at) != size for at, size in there.items())} differ")
    small = {r["reason"] for r in target.get("ranges", []) if r["mapped"].startswith("4K")}
    if small != ({reason} if reason else set()):
        problems.append(f"reasons {small or 'none'}, not {reason}")
    return problems


def view_huge(path):
    m = Mapping(path, True)
    m.touch(True)
    return check_view(m, None)


def view_colour(path):
    m = Mapping(path, True, shift=SZ_4K)
    m.touch(True, SZ_4K)
    return check_view(m, "colour")


def view_private(path):
    m = Mapping(path, True, private=True)
    m.touch(True)
    return check_view(m, "private-write")


def view_vma(path):
    m = Mapping(path, True)
    libc.munmap(m.start, SZ_4K)
    m.start += SZ_4K
    m.len = SZ_2M - SZ_4K
    libc.munmap(m.start + m.len, os.path.getsize(path))
    m.touch(True, SZ_4K)
    return check_view(m, "vma")


def view_promotable(path):
    """Small pages of another mapping first, with nothing in their way now."""
    m = Mapping(path, True)
    libc.madvise(ctypes.c_void_p(m.start), ctypes.c_size_t(m.len), 15)	# MADV_NOHUGEPAGE
    m.touch(True, SZ_4K)
    libc.madvise(ctypes.c_void_p(m.start), ctypes.c_size_t(m.len), 14)	# MADV_HUGEPAGE
    return check_view(m, "promotable" if OURS else "small-entries")


VIEWS = {"huge": view_huge, "off colour": view_colour, "private": view_private,
         "part of 2M": view_vma, "small pages of before": view_promotable}


def in_child(call):
    """What the call returns in a process of its own, which has no other mapping."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            text = json.dumps(call())
        except BaseException as error:	# pylint: disable=broad-except
            text = json.dumps([f"{type(error).__name__}: {error}"])
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text)


def fresh(path):
    sh(f"rm -f {path}; fallocate -l 8M {path}; chmod 666 {path}")
    fill(path, 8 * MIB)


def check_processes():
    path = f"{MNT}/process"
    for name, view in VIEWS.items():
        for user in ("root", "nobody"):
            fresh(path)
            setup = setups[1]
            setup.remount()	# the entries of before are gone
            run = in_child if user == "root" else as_nobody
            problems = run(lambda view=view: view(path))
            if isinstance(problems, str):
                problems = [problems]
            results.result(f"process: {name}, as {user}", problems)


def check_another_user():
    status, _, errors = as_nobody(lambda: daxmap("-p", str(os.getppid())))
    results.result("process: of another user: status 4",
                   [] if status == 4 else [f"status {status}: {errors}"])


# --- other options ------------------------------------------------------------------------------


def check_require():
    path = f"{MNT}/process"
    fresh(path)
    sh(f"truncate -s 16M {path}")
    problems = []
    for arguments, want in ((["--require=2M"], 1), (["--require=2M:50"], 0),
                            (["--require=2M:51"], 1), (["--require=2M", "--for=read"], 0),
                            (["--require=1G"], 1)):
        status = daxmap(*arguments, path)[0]
        if status != want:
            problems.append(f"{arguments}: status {status}, not {want}")
    results.result("--require", problems)


def check_collapse():
    path = f"{MNT}/process"
    fresh(path)
    setups[1].remount()

    def collapse():
        m = Mapping(path, True)
        libc.madvise(ctypes.c_void_p(m.start), ctypes.c_size_t(m.len), 15)
        m.touch(True, SZ_4K)
        libc.madvise(ctypes.c_void_p(m.start), ctypes.c_size_t(m.len), 14)
        file_status = daxmap("--collapse", path)[0]
        status = daxmap("--collapse", "-p", str(os.getpid()))[0]
        return [file_status, status, [s for _, _, s in scan(m.start, m.start + m.len)]]

    found = in_child(collapse)
    want = [0, 0, ["2M"]] if OURS else [1, 1, ["4K"]]
    results.result("--collapse", [] if found == want else [f"{found}, not {want}"])


def check_watch():
    path = f"{MNT}/process"
    fresh(path)
    watcher = subprocess.Popen([DAXMAP, "--watch=1", path], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    line = watcher.stderr.readline()
    subprocess.run(["sleep", "2"], check=True)
    in_child(lambda: Mapping(path, True, shift=SZ_4K).touch(True))
    subprocess.run(["sleep", "2"], check=True)
    watcher.terminate()
    text, errors = watcher.communicate(timeout=60)
    problems = []
    if path not in text or (OURS and "colour" not in text):
        problems.append(f"no fallback of {path}: {text!r} {line!r} {errors!r}")
    left = [n for n in os.listdir("/sys/kernel/tracing/instances") if "daxmap" in n]
    if left:
        problems.append(f"instances left: {left}")
    results.result("--watch", problems)


def check_dump():
    path = f"{MNT}/written"
    sh("rm -rf /tmp/dump")
    live = daxmap("--list", "--dump", "/tmp/dump", path, MNT)
    copy = daxmap("--list", "--sysroot", "/tmp/dump", path, MNT)
    results.result("--dump and --sysroot say the same", [] if live == copy and live[1] else
                   [f"{live}", f"{copy}"])


def check_doctor():
    problems = []
    for options, want in (("dax=never", "filesystem"), ("dax=always", None)):
        sh(f"umount {MNT}; mount -o {options} /dev/pmem0 {MNT}")
        status, target = tables(MNT)
        verdict = target["target"][0]["verdict"]
        if (status, f"by: {want}" in verdict) != ((3, True) if want else (0, False)):
            problems.append(f"{options}: status {status}, {verdict}")
    results.result("filesystem: the mount option", problems)


def check_doctor_devices():
    sh(f"umount {MNT}")
    sh(partition(4096))
    sh(f"{XFS} -m reflink=1 {PART}")
    sh(f"mount -o dax=always {PART} {MNT} || mount {PART} {MNT}", check=False)
    status, target = tables(MNT)
    verdict = target["target"][0]["verdict"]
    results.result("filesystem: XFS with reflink on a partition",
                   [] if status == 3 and "by: partition" in verdict and "reflink" in verdict
                   else [f"status {status}, {verdict}"])
    sh(f"umount {MNT}; {DROP_PART}", check=False)
    sh(f"{EXT4} -b 1024 /dev/pmem0 512M; mount /dev/pmem0 {MNT}")
    status, target = tables(MNT)
    verdict = target["target"][0]["verdict"]
    results.result("filesystem: blocks of 1 KiB", [] if status == 3 and "4096" in verdict
                   else [f"status {status}, {verdict}"])
    sh(f"umount {MNT}")


OTHERS = [check_processes, check_another_user, check_require, check_collapse, check_watch,
          check_dump, check_doctor, check_doctor_devices]


def run_setup(setup):
    try:
        setup.make()
    except RuntimeError as error:
        results.result(f"{setup.name}: it can be made", [str(error)])
        setup.remove()
        return
    try:
        check_setup(setup)
    except (RuntimeError, OSError) as error:
        results.result(f"{setup.name}: it ends", [f"{type(error).__name__}: {error}"])
    setup.remove()


# hugedax aligns the blocks of XFS whatever the partition is, and then no layer is at fault.
ALIGN = "/sys/module/fs_dax/parameters/align"


def main(words):
    print("KTAP version 1")
    os.makedirs(MNT, exist_ok=True)
    if os.path.exists(ALIGN):
        pathlib.Path(ALIGN).write_text("0")
    for setup in setups:
        if not words or any(re.search(word, setup.name) for word in words):
            run_setup(setup)
    if not words or "others" in words:
        setups[1].make()
        make_files(setups[1])
        for check in OTHERS:
            try:
                check()
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                results.result(check.__name__, [f"{type(error).__name__}: {error}"])
        sh(f"umount {MNT}", check=False)
    print(f"1..{results.passed + results.failed + results.skipped}")
    print(f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped")
    return int(results.failed > 0)


sys.exit(main(sys.argv[2:]))
