"""``python -m flash.info list|doctor``: what flash knows and what this machine has."""

from flash.interrupts import quiet_interrupts

if __name__ == "__main__":  # before anything that takes long to import
    quiet_interrupts()

    import sys

    from flash.command import run_command
    from flash.info.command import main

    sys.exit(run_command(main))
