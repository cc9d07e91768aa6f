"""Commands killed at random, crowded, out of disk: nothing finished is lost, nothing is torn.

kills:   every command is ended at random moments by SIGKILL, SIGTERM, SIGHUP and SIGINT in turn.
deaths:  every command dies right before the n-th of its changes to files (making, renaming,
         removing), n drawn at random: the deaths between two renames.
disk:    every command runs on a disk that takes only a random part of what it has to write (a
         small tmpfs where this user may mount one, else an error in its n-th change to files).
writers: four processes write the same table, journal, cache and folder of results at once.

After each: the exit code is the documented one, standard error has no traceback, no process is
left, whatever was finished before is still there, every file is whole. Then the command runs to
its end: its files say the same as those of a run that nobody disturbed, and nothing else is left,
in its folder or the system's for temporary files. Exit code 1 if anything is wrong.

    nice -n 10 python scripts/validate/faults.py --kills 20 --seed 0

takes about 15 minutes on two cores. Nothing outside a temporary folder is written. One command,
other numbers:

    python scripts/validate/faults.py [PART ...] [--only search] [--kills 20] [--tries 5]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fault_commands import COMMANDS, ROOT, answer, files_in, finished, prepare, processes, torn
from fault_writers import WRITERS

PARTS = ("kills", "deaths", "disk", "writers")
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
#: Seconds that a command has after a signal, and children after their parent.
_GRACE_S = 30.0
#: Runs ``flash`` with a fault before its n-th change to files below the folder it works in.
_FAULTY = """
import os, signal, sys
kind, left, folders = sys.argv[1], [int(sys.argv[2])], (os.getcwd(), os.environ["TMPDIR"])
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.symlink"}
MAKING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
def hook(event, given):
    if event not in CHANGES and not (event == "open" and given[2] & MAKING):
        return
    place = given[1] if event == "os.symlink" else given[0]
    if isinstance(place, int) or not os.path.abspath(os.fsdecode(place)).startswith(folders):
        return
    left[0] -= 1
    if left[0] == 0:
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full":
            raise OSError(28, "No space left on device")
        os.write(2, b"")
    if kind == "count":
        os.write(9, b".")
del sys.argv[1:3]
from flash.__main__ import main
sys.addaudithook(hook)
sys.argv[0] = "flash"
sys.exit(main())
"""


@dataclass
class Row:
    """A line of the table: how often something was tried, and what was wrong."""

    part: str
    what: str
    tries: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """The row as text."""
        ended = ", ".join(f"{count} {how}" for how, count in sorted(self.ended.items()))
        verdict = "ok" if not self.wrong else f"{len(self.wrong)} WRONG"
        seconds = f"{self.seconds:.0f} s"
        return f"{self.part:<8}{self.what:<18}{self.tries:>4}  {verdict:<9}{seconds:>8}  {ended}"


def _as_from_a_shell() -> None:
    """Signals as a command finds them, however this script was started (``nohup``, in the back)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Bench:
    """A command in a folder of its own, its inputs in it, with what an undisturbed run leaves."""

    def __init__(self, name: str, inputs: Path, place: Path) -> None:
        self.command, self._inputs, self.place = COMMANDS[name], inputs, place
        self.mark = f"FLASH_FAULTS={uuid.uuid4().hex}"
        self.temporary = place / "tmp"
        self.folder = place / "here"
        self.begin_anew()
        began = time.monotonic()
        process = self.start()
        _, error = process.communicate(timeout=600)
        self.seconds = time.monotonic() - began
        self.whole = self.files()
        if process.returncode or not self.made(self.whole):
            raise SystemExit(f"{name} undisturbed: exit {process.returncode}: {error.decode()}")
        self.begin_anew()

    def begin_anew(self) -> None:
        """A folder with nothing but the inputs."""
        for folder in (self.folder, self.temporary):
            if folder.exists():
                shutil.rmtree(folder)
        shutil.copytree(self._inputs, self.folder)
        self.temporary.mkdir()

    def start(self, fault: tuple[str, int] | None = None) -> subprocess.Popen[bytes]:
        """Start the command, with a fault if one is named."""
        first = ["-m", "flash"] if fault is None else ["-c", _FAULTY, fault[0], str(fault[1])]
        name, value = self.mark.split("=")
        return subprocess.Popen(
            [sys.executable, *first, *self.command.words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ
            | {name: value, "TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT)}
            | {"XDG_CACHE_HOME": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"},
            preexec_fn=_as_from_a_shell,
        )

    def files(self) -> dict[str, bytes]:
        """What lies in the folder, and under ``tmp/`` in that for temporary files."""
        found, theirs = files_in(self.folder), files_in(self.temporary)
        return found | {f"tmp/{n}": c for n, c in theirs.items() if not _of_python(n, c)}

    def made(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """Those that are no inputs."""
        inputs = files_in(self._inputs)
        return {name: content for name, content in files.items() if name not in inputs}

    def pieces(self) -> dict[str, set[object]]:
        """Finished work by journal."""
        return {name: finished(self.folder / name) for name in self.command.journals}

    def look(self, before: dict[str, set[object]]) -> list[str]:
        """What is wrong after a fault: work lost, files torn, inputs changed, processes left."""
        wrong = []
        end = time.monotonic() + _GRACE_S
        while (left := list(processes(self.mark))) and time.monotonic() < end:
            time.sleep(0.05)
        if left:
            wrong.append(f"{len(left)} processes left")
        for name, work in before.items():
            lost = work - finished(self.folder / name)
            wrong += [f"{name}: {len(lost)} finished pieces lost"] if lost else []
        for name in files_in(self.folder):
            if ".flash-" not in name and not name.endswith((".part", ".new")):
                problem = torn(self.folder / name, name in self.command.journals)
                wrong += [f"torn: {problem}"] if problem else []
        now = files_in(self.folder)
        wrong += [
            f"input changed: {n}" for n, c in files_in(self._inputs).items() if now.get(n) != c
        ]
        return wrong

    def finish(self) -> list[str]:
        """Run the command to its end; what is wrong with what it leaves."""
        process = self.start()
        _, error = process.communicate(timeout=600)
        if process.returncode != 0:
            return [f"the next run ended with {process.returncode}: {error.decode()[-300:]}"]
        wrong, files = self.look({}), self.files()
        names, expected = (_undated(set(these)) for these in (files, self.whole))
        if names != expected:
            wrong.append(
                f"left over: {sorted(names - expected)}, missing: {sorted(expected - names)}"
            )
        ours, theirs = answer(self.made(files)), answer(self.made(self.whole))
        for name in ours.keys() & theirs.keys():
            if ours[name] != theirs[name]:
                wrong.append(f"{name} says something else than that of an undisturbed run")
        return wrong


def _of_python(name: str, content: bytes) -> bool:
    """Whether Python left it, dying while it tried its folder for temporary files."""
    return re.fullmatch("[a-z0-9_]{8}", name) is not None and content in (b"", b"blat")


def _undated(names: set[str]) -> set[str]:
    """Names without the date of a run's folder."""
    return {
        f"flash-out/DATE/{Path(name).name}" if name.startswith("flash-out/20") else name
        for name in names
    }


def _said(error: bytes) -> list[str]:
    text = error.decode(errors="replace")
    if "Traceback" not in text:
        return []
    if "/flash/" not in text:  # Python's own start, before the first line of flash
        return []
    return ["traceback: " + text.strip().splitlines()[-1]]


def _count(row: Row, how: str) -> None:
    row.ended[how] = row.ended.get(how, 0) + 1


# -------------------------------------------------------------------------------------- the parts
def kills(name: str, bench: Bench, tries: int, dice: random.Random) -> Row:
    """End the command ``tries`` times at random moments."""
    row = Row("kills", name)
    for attempt in range(3 * tries):
        if row.tries == tries:
            break
        number = _SIGNALS[attempt % len(_SIGNALS)]
        before = bench.pieces()
        process = bench.start()
        try:
            process.wait(dice.random() * bench.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        began = time.monotonic()
        _, error = process.communicate(timeout=10 * _GRACE_S)
        if time.monotonic() - began > _GRACE_S:
            row.wrong.append(f"took {time.monotonic() - began:.0f} s to end")
        code = process.returncode
        if code == 0:
            wrong = bench.look(before)
            row.wrong += wrong
            bench.begin_anew()
            continue
        row.tries += 1
        _count(row, f"by {number.name.removeprefix('SIG')}")
        if code not in (-number, 128 + number):
            row.wrong.append(f"{number.name} gave exit code {code}: {error.decode()[-200:]}")
        row.wrong += _said(error) + bench.look(before)
    row.wrong += bench.finish()
    return row


def _changes(bench: Bench) -> int:
    """How many changes to files an undisturbed run makes."""
    read, write = os.pipe()
    os.dup2(write, 9, inheritable=True)
    os.close(write)
    process = subprocess.Popen(
        [sys.executable, "-c", _FAULTY, "count", "0", *bench.command.words],
        cwd=bench.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[9],
        env=os.environ
        | {"TMPDIR": str(bench.temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        | {"XDG_CACHE_HOME": str(bench.folder / "cache")},
    )
    os.close(9)
    process.wait(600)
    os.set_blocking(read, False)
    count = len(os.read(read, 1 << 16) or b"")
    os.close(read)
    bench.begin_anew()
    return count


def deaths(name: str, bench: Bench, tries: int, dice: random.Random) -> Row:
    """Let the command die before a change to files, and run it again to its end."""
    row, most = Row("deaths", name), _changes(bench)
    moments = sorted(dice.sample(range(1, most + 1), min(tries, most)))
    for moment in moments:
        process = bench.start(("die", moment))
        _, error = process.communicate(timeout=600)
        row.tries += 1
        _count(row, "died" if process.returncode == -signal.SIGKILL else "ended")
        row.wrong += [f"before change {moment}: {w}" for w in _said(error) + bench.look({})]
        row.wrong += [f"after change {moment}: {w}" for w in bench.finish()]
        if dice.random() < 0.5:  # else over what is there
            bench.begin_anew()
    row.ended[f"of {most} changes"] = len(moments)
    return row


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """A file system of 64 MiB at ``place``, where this user may mount one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def disk(name: str, bench: Bench, tries: int, dice: random.Random) -> Row:
    """Run the command where it cannot write all it has to, then with room."""
    row, mounted = Row("disk", name), os.path.ismount(bench.place)
    need = max(sum(len(c) + 4096 for c in bench.made(bench.whole).values()), 16384)
    for _ in range(tries):
        filler, fault = bench.place / "filler", None
        if mounted:
            room = shutil.disk_usage(bench.place).free
            keep = dice.randrange(0, need) // 4096 * 4096
            with filler.open("wb") as file:
                file.write(b"\0" * max(room - keep, 0))
        else:
            fault = ("full", dice.randint(1, 12))
        old = bench.made(bench.files())
        process = bench.start(fault)
        _, error = process.communicate(timeout=600)
        filler.unlink(missing_ok=True)
        row.tries += 1
        _count(row, f"exit {process.returncode}")
        if process.returncode not in (0, 1):
            row.wrong.append(f"exit code {process.returncode}: {error.decode()[-300:]}")
        elif process.returncode == 1 and b"No space left" not in error:
            row.wrong.append(f"does not say why: {error.decode()[-300:]}")
        row.wrong += _said(error) + bench.look({})
        if process.returncode == 1 and old and not bench.command.journals:
            now = bench.made(bench.files())
            gone = [n for n in old if n not in now]
            row.wrong += [f"lost: {gone}"] if gone else []
        row.wrong += bench.finish()
        if dice.random() < 0.5:
            bench.begin_anew()
    return row


def _commands(part: str, names: list[str], tries: int, seed: int, place: Path) -> Iterator[Row]:
    doing: Callable[..., Row] = {"kills": kills, "deaths": deaths, "disk": disk}[part]
    inputs = place / "inputs"
    if not inputs.exists():
        prepare(inputs)
    for name in names:
        began = time.monotonic()
        where = place / f"{part}-{name.replace(', ', '-')}"
        dice = random.Random(f"{part} {name} {seed}")
        if part == "disk":
            with _small_disk(where):
                row = doing(name, Bench(name, inputs, where), tries, dice)
        else:
            where.mkdir()
            row = doing(name, Bench(name, inputs, where), tries, dice)
        shutil.rmtree(where)
        row.seconds = time.monotonic() - began
        yield row


def _writers(place: Path) -> Iterator[Row]:
    for name, write in WRITERS.items():
        began = time.monotonic()
        where = place / name.replace(" ", "-")
        where.mkdir()
        row = Row("writers", name, 4)
        row.wrong = write(where)
        row.seconds = time.monotonic() - began
        yield row


def main() -> int:
    """Run the parts, print the table; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--kills", type=int, default=20, help="of each command (%(default)s)")
    parser.add_argument("--tries", type=int, default=5, help="deaths, full disks (%(default)s)")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="this command, or those with it in"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    given = parser.parse_args()
    wanted = given.parts or list(PARTS)
    if not set(wanted) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    exactly = given.only in COMMANDS
    names = [given.only] if exactly else [name for name in COMMANDS if given.only in name]
    rows = []
    with tempfile.TemporaryDirectory(prefix="flash-faults-") as folder:
        for part in wanted:
            tries = given.kills if part == "kills" else given.tries
            found = (
                _writers(Path(folder))
                if part == "writers"
                else _commands(part, names, tries, given.seed, Path(folder))
            )
            for row in found:
                rows.append(row)
                print(row.line(), file=sys.stderr, flush=True)
                for wrong in row.wrong[:5]:
                    print(f"    {wrong}", file=sys.stderr, flush=True)
    print("part    what             tries  verdict     time  how they ended")
    print("\n".join(row.line() for row in rows))
    wrong_count = sum(len(row.wrong) for row in rows)
    print(f"{sum(row.tries for row in rows)} faults, {wrong_count} wrong")
    return 1 if wrong_count else 0


if __name__ == "__main__":
    sys.exit(main())
