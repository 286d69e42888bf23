"""The servers of the tests: one for all workers, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.programs import HOST, PROGRAMS, AbsentError, Server

pytest.importorskip("fcntl", reason="servers are not started on this system")

from tests.servers.run import Run


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_is_there_and_is_one_for_the_whole_run(name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(name)
    assert PROGRAMS[name].ready(server.directory, server.port)
    assert str(server.port) in server.url
    assert HOST in server.url
    told = getattr(request.config, "workerinput", {}).get("ndzarr_servers")
    assert told is None or server.directory.parent == Path(told)
    assert (server.directory.parent / f"{name}.running").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_none_is_left_behind(end: int, nginx: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "nginx"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={k: v for k, v in os.environ.items() if not k.startswith("COV_")},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        directory = Path(line.partition(" (in ")[2].strip().rstrip(")"))
        port = int(line.split()[1].rpartition(":")[2])
        ready = PROGRAMS["nginx"].ready
        assert ready(directory, port)
        process.send_signal(end)
    give_up = time.monotonic() + 15
    while time.monotonic() < give_up and (directory.parent.exists() or ready(directory, port)):
        time.sleep(0.05)
    assert not ready(directory, port)
    assert not directory.parent.exists()
    assert PROGRAMS["nginx"].ready(nginx.directory, nginx.port)


def test_what_is_absent_or_fails_is_told_to_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.servers import programs, run as module

    def absent(directory: Path, port: int) -> list[str]:
        return [programs.find("ndzarr-no-such-program")]

    def fails(directory: Path, port: int) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('it broke')"]

    table = {name: programs.Program(command, lambda *_: False, "") for name, command in (("absent", absent), ("fails", fails))}
    monkeypatch.setattr(module, "PROGRAMS", table)
    run = Run.own()
    try:
        for _ in range(2):
            with pytest.raises(AbsentError, match="ndzarr-no-such-program"):
                run.server("absent")
            with pytest.raises(RuntimeError, match="it broke"):
                Run(run.folder).server("fails")
    finally:
        run.end()
    assert not run.folder.exists()
