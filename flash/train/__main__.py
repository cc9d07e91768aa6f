"""``python -m flash.train``."""

import sys

from flash.interrupts import quiet_interrupts

if __name__ == "__main__":
    quiet_interrupts()  # before anything that takes long to import
    from flash.command import run_verb

    sys.exit(run_verb("train", sys.argv[1:]))
