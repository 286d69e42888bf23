"""What `import ndzarr` costs beside `import numpy`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from comparison.measure import OURS

_CODES = {
    "nothing": "pass",
    "numpy": "import numpy",
    OURS: "import ndzarr",
    f"{OURS} + numpy": "import numpy, ndzarr",
    f"{OURS}, first array": "import ndzarr; ndzarr.zeros((4, 4))[0, 0]",
}


def imports(rounds: int) -> dict[str, float]:
    """Seconds of a process that does `import x`, a bare interpreter's subtracted round by round; medians."""
    taken: dict[str, list[float]] = {name: [] for name in _CODES}
    # As for whoever has installed it: compiled once, whatever this process was told about files of bytecode.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as bytecode:
        env["PYTHONPYCACHEPREFIX"] = bytecode
        for round_ in range(max(rounds, 15) + 1):
            for name, code in _CODES.items():
                started = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=env)
                if round_:  # the first fills the disk cache and compiles
                    taken[name].append(time.perf_counter() - started)
    return {
        name: statistics.median(s - empty for s, empty in zip(taken[name], taken["nothing"], strict=True))
        for name in _CODES
        if name != "nothing"
    }
