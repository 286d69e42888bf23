"""`copy_files.py LIST DIRECTORY`: copy the files that LIST names, NUL after each, into DIRECTORY."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def main(listing: str, directory: str) -> None:
    for name in Path(listing).read_bytes().decode().split("\0"):
        source = Path(name)
        if name and source.is_file():  # a file deleted but not yet committed is still listed
            target = Path(directory, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
