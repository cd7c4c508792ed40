# SPDX-License-Identifier: GPL-2.0-only
"""What the Python scripts share with vm/lib.sh: paths, and how they speak.

The paths are read from vm/lib.sh, so that they are defined there alone.
"""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time

signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

VM = pathlib.Path(__file__).resolve().parent
TOP = VM.parent
NAMES = ("build", "work", "src", "obj", "log", "results", "splats",
         "base_release")


def shell_variables():
    """The variables of vm/lib.sh; its own message ends the program if it stops."""
    script = '. "$0"; for name; do printf "%s\\0" "${!name}"; done; '\
             'printf "%s\\0" "${filesystems[*]}" "${flavours[*]}"'
    run = subprocess.run(["bash", "-c", script, str(VM / "lib.sh"), *NAMES],
                         stdout=subprocess.PIPE, check=False)
    if run.returncode:
        sys.exit(run.returncode)
    return dict(zip((*NAMES, "filesystems", "flavours"), run.stdout.decode().split("\0")))


_shell = shell_variables()
BUILD, WORK, SRC, OBJ, LOG, RESULTS = (pathlib.Path(_shell[n]) for n in NAMES[:6])
SPLATS = _shell["splats"]
RELEASE = _shell["base_release"]
FILESYSTEMS = _shell["filesystems"].split()
FLAVOURS = _shell["flavours"].split()


def filesystem(name, *lists):
    """What vm/filesystems has of it in these lists, in one line."""
    run = subprocess.run(["bash", "-c", '. "$0"; fs_words "$@"', VM / "filesystems", name, *lists],
                         stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip()


_colour = sys.stderr.isatty()
_me = os.path.relpath(sys.argv[0], TOP) if sys.argv[0] else "python"


def colour(code, text):
    return f"\033[{code}m{text}\033[0m" if _colour else text


def step(tag, text):
    """One line for one piece of work."""
    print(f"  {tag:<8}{text}", file=sys.stderr, flush=True)


def note(text):
    """Something to look at that stops nothing."""
    print(colour("33", f"note: {text}"), file=sys.stderr, flush=True)


def warn(text):
    """An error that does not end the script."""
    print(colour("1;31", f"{_me}: {text}"), file=sys.stderr, flush=True)


def die(text, status=1):
    """What is wrong and what to do about it, and stop."""
    warn(text)
    sys.exit(status)


_last = [-20.0]


def progress(text):
    """A line that replaces itself on a terminal; elsewhere, one in 20 seconds."""
    if _colour:
        print(f"\r\033[K  {text}", end="", file=sys.stderr, flush=True)
    elif time.monotonic() - _last[0] >= 20:
        _last[0] = time.monotonic()
        print(f"  {text}", file=sys.stderr, flush=True)


def progress_end():
    if _colour:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def short(path):
    """The path as seen from the current folder, if it is below it."""
    try:
        return str(pathlib.Path(path).relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)


def start(main):
    """Runs a program. It ends quietly if nothing reads its output any more, as below
    "| head"; the default of SIGPIPE would end it at each command that does not read
    its input."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def usage(doc):
    print(doc.strip())
    sys.exit(0)


def call(*command, **keywords):
    """Runs a command and returns its exit status. If this program is ended meanwhile,
    the command is asked to end, so that vm/run can stop its guest."""
    with subprocess.Popen([str(c) for c in command], **keywords) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise


def run(*command):
    """Runs a script of ours; its failure ends this one, since it has said why."""
    code = call(*command)
    if code:
        sys.exit(code)


def lock(path, text):
    """Holds the lock until the program ends; dies with @text if it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = open(path, "w", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        die(text)
    return handle
