"""`readme_command.py README N`: print the README's N-th shell command; fail unless there are exactly two."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(readme: str, number: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)\n```$", Path(readme).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if len(blocks) != 2 or any("\n" in block for block in blocks):
        sys.exit(f"{readme}: expected two shell commands of one line each, found {blocks!r}")
    print(blocks[int(number) - 1])


if __name__ == "__main__":
    main(*sys.argv[1:])
