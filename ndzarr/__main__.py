"""`python -m ndzarr`."""

from __future__ import annotations

import sys

from ndzarr.cli import main

if __name__ == "__main__":
    sys.exit(main())
