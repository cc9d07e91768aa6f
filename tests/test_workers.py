"""The pool: results, progress, killed workers, and children that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from flash.errors import UsageError
from flash.workers import Begun, Done, Lost, Told, run_here


def square(shared, task, tell):
    tell(task)
    return shared + task * task


def one_thread(shared, task, tell):
    return os.environ["OMP_NUM_THREADS"]


def deadly(folder, task, tell):
    """Dies over task 1 the first time, and over task 2 always."""
    tries = Path(folder) / f"{task}"
    tries.write_text(f"{tries.read_text() if tries.exists() else ''}x")
    if task == 2 or (task == 1 and tries.read_text() == "x"):
        os.kill(os.getpid(), signal.SIGKILL)
    return tries.read_text()


def wrong(shared, task, tell):
    raise UsageError(f"task {task} cannot be")


def noisy(shared, task, tell):
    print("on standard output", flush=True)  # noqa: T201
    os.write(1, b"by C code\n")
    return task


def sleeping(pids, task, tell):
    (Path(pids) / f"{os.getpid()}").touch()
    time.sleep(60)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_task_is_begun_told_of_and_done():
    events = list(run_here(square, 100, range(7), 2))
    kinds = Counter(type(event) for event in events)
    assert kinds == {Begun: 7, Told: 7, Done: 7}
    done = {event.task: event.result for event in events if isinstance(event, Done)}
    assert done == {k: 100 + k * k for k in range(7)}
    assert list(run_here(square, 0, [], 2)) == []


def test_workers_have_one_thread_each():
    *_, done = run_here(one_thread, None, [0], 1)
    assert done.result == "1"


def test_a_killed_worker_costs_its_task_a_try_and_three_give_it_up(tmp_path):
    events = list(run_here(deadly, str(tmp_path), range(4), 2))
    ends = {event.task: event for event in events if isinstance(event, Done | Lost)}
    assert {task: end.result for task, end in ends.items() if isinstance(end, Done)} == {
        0: "x", 1: "xx", 3: "x",
    }  # fmt: skip
    assert ends[2] == Lost(2, "the worker was killed by signal 9, 3 times")
    assert Counter(e.task for e in events if isinstance(e, Begun)) == {0: 1, 1: 2, 2: 3, 3: 1}


def test_what_a_task_refuses_is_raised_and_what_it_prints_goes_to_the_log(tmp_path, capfd):
    with pytest.raises(UsageError, match="task 5 cannot be"):
        list(run_here(wrong, None, [5], 1))
    with (tmp_path / "log").open("ab") as log:
        *_, done = run_here(noisy, None, [5], 1, log)
    assert done == Done(5, 5)
    assert sorted((tmp_path / "log").read_text().splitlines()) == [
        "by C code",
        "on standard output",
    ]
    list(run_here(noisy, None, [5], 1))
    assert capfd.readouterr().out == ""


def _started(folder, count):
    end = time.monotonic() + 30
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < end
        time.sleep(0.02)
    return [int(path.name) for path in folder.iterdir()]


def _gone(pids):
    end = time.monotonic() + 10
    while any(map(_alive, pids)):
        assert time.monotonic() < end, "workers outlived their parent"
        time.sleep(0.02)


def test_closing_stops_the_workers_at_once(tmp_path):
    events = run_here(sleeping, str(tmp_path), range(4), 2)
    assert [next(events), next(events)] == [Begun(0), Begun(1)]
    pids = _started(tmp_path, 2)
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 5
    assert not any(map(_alive, pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_a_parent_that_is_no_module(tmp_path, number):
    (tmp_path / "pids").mkdir()
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent(f"""
            import signal, sys
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_workers import sleeping
            from flash.workers import run_here
            list(run_here(sleeping, sys.argv[1], range(4), 2))
        """)
    )
    command = [sys.executable, str(script), str(tmp_path / "pids")]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    pids = _started(tmp_path / "pids", 2)
    parent.send_signal(number)
    parent.wait(10)
    _gone(pids)
