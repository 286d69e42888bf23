"""The fixtures, and the hooks that make one run of all workers. `tests/conftest.py` imports them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.programs import PROGRAMS, AbsentError, Server

try:
    from tests.servers.run import Run
except ImportError:  # there is no fcntl on Windows
    Run = None

_run = pytest.StashKey[Any]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the run that this process owns keeps its servers."""
    if Run is not None:
        node.workerinput["ndzarr_servers"] = str(_own(node.config).folder)


def _own(config: pytest.Config) -> Any:
    if _run not in config.stash:
        run = config.stash[_run] = Run.own()
        config.add_cleanup(run.end)
    return config.stash[_run]


def server(config: pytest.Config, name: str) -> Server:
    """The server of that name. Where there is none: a failure if CI says so, else a skip that says what would give one."""
    told = getattr(config, "workerinput", {}).get("ndzarr_servers")
    if Run is None:
        pytest.skip(f"{name}: servers are not started on this system")
    run = _own(config) if told is None else Run(Path(told))
    try:
        found: Server = run.server(name)
    except AbsentError as reason:
        message = f"{reason}; `.ci/run servers` installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def _fixture(name: str) -> Callable[..., Server]:
    @pytest.fixture(scope="session", name=name)
    def fixture(pytestconfig: pytest.Config) -> Server:
        return server(pytestconfig, name)

    return fixture


moto, versitygw, azurite, gcs, nginx, postgres, ferretdb = (_fixture(name) for name in PROGRAMS)
