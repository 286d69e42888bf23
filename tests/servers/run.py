"""The servers of one run of the tests: started by whichever worker asks first, stopped when the run ends."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from tests.servers.programs import PROGRAMS, AbsentError, Program, Server, free_port

_READY_S = 60  # two processors may be shared by all workers of several runs
_owned: set[Path] = set()
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


class Run:
    """The servers of a run, in `folder`. Whoever makes the folder by `own` must keep the Run: its servers live as long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._alive: Any = None

    @classmethod
    def own(cls) -> Self:
        """A new run, which ends with this process, or when `end` is called."""
        # Short, since it holds a Unix socket; others than its owner go through it, as a database that refuses to be root.
        _sweep()
        run = cls(Path(tempfile.mkdtemp(prefix="ndz-")))
        run.folder.chmod(0o711)
        _owned.add(run.folder)
        run._alive = open(run.folder / "alive", "wb")  # noqa: SIM115  # held as long as the run lasts
        fcntl.lockf(run._alive, fcntl.LOCK_EX)
        return run

    def end(self) -> None:
        """Stop every server of this run; returns when they are gone."""
        if self._alive is not None:
            self._alive.close()
            self._alive = None
            give_up = time.monotonic() + 10
            while list(self.folder.glob("*.running")) and time.monotonic() < give_up:
                time.sleep(0.02)
            shutil.rmtree(self.folder, ignore_errors=True)

    def server(self, name: str) -> Server:
        """The server of that name, ready. Raises AbsentError where it is not installed, RuntimeError where it fails."""
        with self._locked(name):
            told = self.folder / f"{name}.json"
            if not told.exists():
                told.write_text(json.dumps(self._outcome(name)))
            outcome = json.loads(told.read_text())
        if "absent" in outcome:
            raise AbsentError(outcome["absent"])
        if "failed" in outcome:
            raise RuntimeError(outcome["failed"])
        return Server(name, outcome["port"], outcome["url"], self.folder / name)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with open(self.folder / f"{name}.lock", "wb") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield

    def _outcome(self, name: str) -> dict[str, Any]:
        program = PROGRAMS[name]
        try:
            for _ in range(3):  # somebody else may take the port before the server does
                port = free_port()
                if self._start(name, program, port):
                    return {"port": port, "url": program.url.format(port=port)}
        except AbsentError as reason:
            return {"absent": str(reason)}
        log = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
        return {"failed": f"{name} did not start: {log}"}

    def _start(self, name: str, program: Program, port: int) -> bool:
        directory = self.folder / name
        directory.mkdir()
        directory.chmod(0o711)
        try:
            command = program.command(directory, port)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        told = {"command": command, "environment": dict(program.environment), "stop": program.stop}
        (self.folder / f"{name}.command").write_text(json.dumps(told))
        running = self.folder / f"{name}.running"
        running.touch()
        # In a session of its own: Ctrl-C at the terminal is for pytest, which ends the run.
        with open(self.folder / f"{name}.log", "ab") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR), str(self.folder), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={k: v for k, v in os.environ.items() if not k.startswith(("COV_", "PYTEST_"))},
            )
        give_up = time.monotonic() + _READY_S
        while time.monotonic() < give_up and supervisor.poll() is None:
            if program.ready(directory, port):
                # Popen would warn, when it is forgotten, of a process that goes on.
                supervisor.returncode = 0
                return True
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            supervisor.terminate()
            supervisor.wait(10)
        running.unlink(missing_ok=True)
        shutil.rmtree(directory, ignore_errors=True)
        return False


def _sweep() -> None:
    """Remove the folders of runs that were killed before they started any server, whose supervisor would have done it."""
    for alive in Path(tempfile.gettempdir()).glob("ndz-*/alive"):
        if alive.parent in _owned:  # to close its lock a second time would free it
            continue
        with suppress(OSError):  # held: that run lives; or somebody else's
            if time.time() - alive.stat().st_mtime > 600 and not list(alive.parent.glob("*.running")):
                with open(alive, "rb+") as lock:
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(alive.parent, ignore_errors=True)
