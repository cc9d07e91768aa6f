"""Reading within bounds, writing whole, and journals that several processes append to."""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.errors import InputError, UsageError
from flash.files import limits, reading, writing
from flash.files.journal import open_journal, read_journal
from flash.files.reading import (
    parse_json,
    parse_toml,
    read_bytes,
    read_json,
    read_lines,
    read_text,
)
from flash.files.scratch import scratch_folder
from flash.files.writing import write_folder, write_text


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        began = time.process_time()
        for name in ("folder", "pipe", "s", "/dev/zero", "/dev/tty"):
            with pytest.raises(InputError, match="cannot be read: "):
                read_bytes(tmp_path / name)
        assert time.process_time() - began < 1.0


def test_files_beyond_their_bound_and_without_text_are_refused(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * (2 * 2**20 + 1))
    assert len(read_bytes(path, most=2 * 2**20 + 1)) == 2 * 2**20 + 1
    with pytest.raises(InputError, match="f: has more than 2 MiB"):
        read_bytes(path, most=2 * 2**20)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_text(path)
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        ("[" * 65 + "]" * 65, "nested too deeply, more than 64"),
        ("[" * 10**6, "nested too deeply"),
        ('{"a":' * 10**5, "nested too deeply"),
        ("[1,]", "line 1, column 4"),
        ("", "line 1, column 1"),
        ("1" * 5000, "a number of more than 4,300 digits"),
    ],
)
def test_what_is_no_json_is_named(text, says):
    with pytest.raises(InputError, match=f"^s: not valid JSON.*{says}"):
        parse_json(text, "s")


def test_brackets_in_strings_do_not_nest_and_64_levels_do():
    text = json.dumps(["[" * 200 + '\\"]', {"a{": "}" * 9}] * 50)
    assert parse_json(text, "s") == json.loads(text)
    deepest = "[" * limits.NESTING + "]" * limits.NESTING
    assert parse_json(deepest, "s") == json.loads(deepest)


@pytest.mark.parametrize("text", [".".join("a" * 70) + " = 1", "a = " + "[" * 70 + "]" * 70])
def test_toml_that_nests_too_deeply_is_refused(text):
    with pytest.raises(InputError, match="^s: not usable TOML: .*nested too deeply"):
        parse_toml(text, "s")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_what_json_writes_is_read_back(value):
    assert parse_json(json.dumps(value), "s") == value


def test_a_front_of_20000_designs_is_read_in_seconds(tmp_path):
    design = {"id": "0123456789", "design": {f"v{k}": k for k in range(12)}} | {
        name: {"value": 1.5, "low": 1.25, "high": 2.0, "how": "90 % jackknife+"}
        for name in ("accuracy", "latency_ms", "energy_mj", "area_mm2")
    }
    path = tmp_path / "front.json"
    path.write_text(json.dumps({"front": [design] * 20_000}))
    began = time.process_time()
    assert len(read_json(path)["front"]) == 20_000
    assert time.process_time() - began < 10


# ---------------------------------------------------------------------- written whole or not
CONTENTS = {f"{name}.txt": name * 50_000 for name in "abcd"}


def _run(code, *arguments, wait=True):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    if wait:
        process.communicate(timeout=60)
    return process


def _written(folder):
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


DIE = """
    import os, sys
    from pathlib import Path
    from flash.files.writing import write_folder
    renames, moves = int(sys.argv[2]), 0
    for name in ("replace", "rename"):
        def move(self, to, real=getattr(Path, name)):
            global moves
            if moves == renames:
                os._exit(9)
            moves += 1
            return real(self, to)
        setattr(Path, name, move)
    write_folder(sys.argv[1], {f"{n}.txt": n * 50_000 for n in "abcd"})
"""


@pytest.mark.parametrize("renames", range(6))
@pytest.mark.parametrize("before", [None, {}, {"a.txt": "old", "mine.txt": "my own"}])
def test_a_death_between_renames_is_made_good_by_the_next_run(tmp_path, before, renames):
    folder = tmp_path / "out"
    if before is not None:
        write_folder(folder, before)
        assert _written(folder) == before
    died = _run(DIE, folder, renames)
    assert died.returncode == (9 if renames < (1 if before is None else 5) else 0)
    if before is None:
        assert not folder.exists() or _written(folder) == CONTENTS
    finished = renames > 0  # the first rename says that all of it is on disk
    write_folder(folder, {"new.txt": "new"})
    expected = (before or {}) | (CONTENTS if finished else {}) | {"new.txt": "new"}
    assert _written(folder) == dict(sorted(expected.items()))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_kills_at_any_moment_leave_the_old_or_the_new_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    write_text(path, "0" * 10**6)
    code = """
        import sys
        from flash.files.writing import write_text
        for number in range(10**6):
            write_text(sys.argv[1], f"{number % 10}" * 10**6)
    """
    rng = random.Random(1)
    for _ in range(10):
        process = _run(code, path, wait=False)
        time.sleep(0.3 + 0.3 * rng.random())
        process.kill()
        process.communicate()
        text = path.read_text()
        assert len(text) == 10**6 and len(set(text)) == 1
    write_text(path, "done")
    assert [one.name for one in tmp_path.iterdir()] == ["result.json"]


def test_a_disk_that_fills_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("old")
    code = """
        import resource, signal, sys
        from flash.errors import FlashError
        from flash.files.writing import write_folder
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            write_folder(sys.argv[1], {"a.txt": "new", "b.txt": "b" * 300_000})
        except FlashError as error:
            sys.exit(f"{error.exit_code} {error}")
    """
    for name in ("out", "none"):
        command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stderr == f"1 cannot write {tmp_path / name}/b.txt: File too large\n"
    assert _written(tmp_path / "out") == {"a.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_somebody_else_put_there_stays(tmp_path):
    target, link = tmp_path / "target", tmp_path / "out" / ".flash-0123456789abcdef.tmp"
    target.write_text("not ours")
    link.parent.mkdir()
    link.symlink_to(target)
    (tmp_path / "out" / ".flash-mine.tmp").write_text("mine")
    write_folder(tmp_path / "out", {"a": "1"})
    assert target.read_text() == "not ours"
    assert sorted(_written(tmp_path / "out")) == [
        ".flash-0123456789abcdef.tmp", ".flash-mine.tmp", "a",
    ]  # fmt: skip


MIXED = """
    import sys, time
    from pathlib import Path
    from flash.files import writing
    # Between two renames the others get their turn, unless they have to wait.
    real = Path.replace
    def slow(path, target):
        time.sleep(0.002)
        return real(path, target)
    writing.Path.replace = slow
    for k in range(6):
        files = {f"{n}.txt": f"{sys.argv[2]} {k}" for n in "abcd"}
        writing.write_folder(sys.argv[1], files)
"""


def test_runs_into_one_folder_never_mix(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    writers = [_run(MIXED, out, name, wait=False) for name in "xyz"]
    for writer in writers:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    assert len(set(_written(out).values())) == 1 and len(_written(out)) == 4


def test_a_folder_of_its_own_is_made_beside_one_of_that_name(tmp_path):
    for number in range(3):
        paths = write_folder(tmp_path / "run", {"a": f"{number}"}, new=True)
        assert paths[0].parent.name == ("run", "run.2", "run.3")[number]
    (tmp_path / "file").write_text("mine")
    assert write_folder(tmp_path / "file", {"a": ""}, new=True)[0].parent.name == "file.2"
    assert [(tmp_path / n / "a").read_text() for n in ("run", "run.2", "run.3")] == ["0", "1", "2"]
    assert (tmp_path / "file").read_text() == "mine"


def test_somebody_who_locks_the_folder_for_good_is_not_waited_for_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_PATIENCE_S", 0.05)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    write_folder(tmp_path, {"a": "1"})
    os.close(handle)
    assert _written(tmp_path) == {"a": "1"}


def test_links_point_anew_and_leave_nothing(tmp_path):
    for target in ("one", "two"):
        writing.point_link(tmp_path / "latest", target)
    assert os.readlink(tmp_path / "latest") == "two"  # noqa: PTH115
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


def test_a_folder_that_cannot_be_made_is_a_wrong_argument_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "x", tmp_path / "new" / ("x" * 300)):
        with pytest.raises(UsageError, match="^cannot write "):
            writing.make_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_scratch_folders_of_processes_that_were_killed_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "flash-profile-0123456789abcdef.scratch"
    (dead / "inside").mkdir(parents=True)
    (tmp_path / "flash-profile-mine").mkdir()
    with scratch_folder("profile") as held:
        assert not dead.exists() and held.stat().st_mode & 0o077 == 0
        with scratch_folder("ssh") as other:  # of a process that lives
            assert held.is_dir() and other != held
    assert [path.name for path in tmp_path.iterdir()] == ["flash-profile-mine"]


def test_lines_are_read_one_at_a_time_within_bounds(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes("\ufeffa\r\n\u2028b\n\nc".encode())
    assert list(read_lines(path)) == ["a\r\n", "\u2028b\n", "\n", "c"]
    monkeypatch.setattr(reading, "LINE_CHARACTERS", 10)
    for content, says in ((b"x" * 10, "has a line of more than"), (b"a\n\xff", "no UTF-8 text")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=says):
            list(read_lines(path))
    with path.open("wb") as file:
        file.truncate(limits.LINES_BYTES + 1)
    with pytest.raises(InputError, match="has more than 512 MiB"):
        next(read_lines(path))


# ------------------------------------------------------------------------------- the journal
def _ours(first):
    if first != "ours":
        raise InputError(f"no journal: {first}")


APPEND = """
    import sys
    from pathlib import Path
    from flash.errors import InputError, UsageError
    from flash.files.journal import open_journal
    def ours(first):
        if first != "ours":
            raise InputError(first)
    for number in range(int(sys.argv[3])):
        with open_journal(Path(sys.argv[1]), ours) as file:
            file.append(("" if file.text else "ours\\n") + f"{sys.argv[2]} {number} {'x' * 100}\\n")
"""


def test_four_writers_lose_and_tear_nothing(tmp_path):
    path = tmp_path / "j"
    writers = [_run(APPEND, path, name, 100, wait=False) for name in "abcd"]
    for writer in writers:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    first, *lines = read_journal(path, _ours).splitlines()
    assert first == "ours"
    assert sorted(lines) == sorted(f"{n} {k} {'x' * 100}" for n in "abcd" for k in range(100))


def test_kills_lose_no_line_that_was_finished(tmp_path):
    path = tmp_path / "j"
    before, size, rng = 0, 0, random.Random(2)
    for number in range(8):
        process = _run(APPEND, path, number, 10**6, wait=False)
        while process.poll() is None and (path.stat().st_size if path.exists() else 0) <= size:
            time.sleep(0.01)
        time.sleep(0.1 * rng.random())
        process.kill()
        process.communicate()
        lines = read_journal(path, _ours).splitlines()[1:]
        assert len(lines) > before and all(line.endswith("x" * 100) for line in lines)
        before, size = len(lines), path.stat().st_size


def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("a thesis without a line end")
    path.chmod(0o444)
    before = path.stat()
    for use in (lambda: read_journal(path, _ours), lambda: open_journal(path, _ours).__enter__()):
        with pytest.raises(InputError, match="no journal"):
            use()
    after = path.stat()
    assert path.read_text() == "a thesis without a line end"
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_cut_line_is_no_line_and_the_next_writer_removes_it(tmp_path):
    path = tmp_path / "j"
    path.write_text("ours\none\ntw")
    assert read_journal(path, _ours) == "ours\none\n"
    with open_journal(path, _ours) as file:
        file.append("two\n")
    assert path.read_text() == "ours\none\ntwo\n"
    with open_journal(path, _ours) as file:
        file.replace("ours\n")
    assert read_journal(path, _ours) == "ours\n"


def test_a_journal_nothing_came_of_is_not_left(tmp_path):
    with pytest.raises(RuntimeError), open_journal(tmp_path / "j", _ours):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="cannot write"), open_journal(tmp_path / "n/j", _ours):
        pass
