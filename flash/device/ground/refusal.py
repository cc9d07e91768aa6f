"""The one error of the measuring program that a user can mend."""

from __future__ import annotations


class Refused(Exception):
    """What the user can mend, in one line.

    code: the program's exit code: 1 the machine failed, 2 wrong arguments, 4 a bad file,
          5 nothing was measured.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code
