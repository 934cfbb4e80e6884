"""``python -m minimeta`` is ``minimeta``."""

import sys

from minimeta.cli import main

if __name__ == "__main__":
    sys.exit(main())
