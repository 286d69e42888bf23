"""Print how often a tool is told to look away, and fail where no reason stands beside it, so that it cannot creep."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

#: A suppression names its code and is followed by a reason: `# type: ignore[arg-type]  # the stubs lack None`.
KINDS = {
    "type: ignore": re.compile(r"#\s*type:\s*ignore\b(\[[\w, -]+\])?(?P<rest>.*)"),
    "noqa": re.compile(r"#\s*noqa\b(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?(?P<rest>.*)"),
    "no cover": re.compile(r"#\s*pragma:\s*no\s+(cover|branch)\b(?P<rest>.*)"),
}


def main() -> None:
    counts: Counter[str] = Counter()
    bare = []
    for path in sorted(path for top in ("ndzarr", "tests", "asv_bench", "docs") for path in Path(top).rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for kind, pattern in KINDS.items():
                found = pattern.search(line)
                if found:
                    counts[kind] += 1
                    coded = kind == "no cover" or found.group(1)
                    if not coded or not re.search(r"\w{3}", found.group("rest")):
                        bare.append(f"{path}:{number}: {line.strip()}")
    print("suppressions:", ", ".join(f"{counts[kind]} x {kind}" for kind in KINDS))
    if bare:
        sys.exit("\n".join(["without a code or a reason:", *bare]))


if __name__ == "__main__":
    main()
