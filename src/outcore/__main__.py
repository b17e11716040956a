"""``python -m outcore`` is the command ``outcore``."""

import sys

from outcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
