"""`supervisor.py FOLDER NAME`: run the command in FOLDER/NAME.command; end it when the lock on FOLDER/alive is free.

The process that a test run belongs to holds that lock as long as it lives. The system frees it even when that process is
killed, so no server is left behind, and nothing has to be passed from one worker of the run to another.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path


def main(folder: Path, name: str) -> int:
    told = json.loads((folder / f"{name}.command").read_text())
    with open(folder / f"{name}.log", "ab") as log:
        server = subprocess.Popen(
            told["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **told["environment"]},
            cwd=folder / name,
            start_new_session=True,
        )

    def end() -> None:
        with suppress(ProcessLookupError):
            server.send_signal(told["stop"])
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)

    freed = threading.Event()

    def watch() -> None:
        with open(folder / "alive", "rb+") as alive:
            fcntl.lockf(alive, fcntl.LOCK_EX)
        freed.set()
        end()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
    threading.Thread(target=watch, daemon=True).start()
    server.wait()
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / f"{name}.running").unlink(missing_ok=True)
    if freed.is_set() and not list(folder.glob("*.running")):
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
