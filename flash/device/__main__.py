"""``python -m flash.device``: the measuring program from its parts, as boards run it built."""

import sys

from flash.device.main import main

if __name__ == "__main__":
    sys.exit(main())
