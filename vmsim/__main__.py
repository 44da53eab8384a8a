"""`python -m vmsim` is the command `vmsim`."""

import sys

from vmsim.cli import main

if __name__ == "__main__":
    sys.exit(main())
