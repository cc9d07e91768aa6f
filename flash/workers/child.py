"""What a worker process does: tasks from its parent, one after another, until that hangs up."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from multiprocessing.connection import Connection

from flash.errors import FlashError

__all__ = ["serve"]


def serve(handle: int) -> None:
    """Serve the parent at the other end of the connection with this file descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers itself
    threading.Thread(target=_end_with_the_parent, args=(handle,), daemon=True).start()
    connection = Connection(handle)
    with contextlib.suppress(EOFError, OSError):
        function, shared = connection.recv()
        while True:
            task = connection.recv()
            try:
                result = function(shared, task, lambda value: connection.send(("told", value)))
                connection.send(("done", result))
            except FlashError as error:
                connection.send(("failed", error))


def _end_with_the_parent(handle: int) -> None:
    """A task of minutes would not notice that nobody waits for it."""
    hung_up = select.poll()
    hung_up.register(handle, 0)  # hanging up is told whatever is asked for
    hung_up.poll()
    os._exit(1)
