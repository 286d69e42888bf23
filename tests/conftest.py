"""Options and fixtures for the whole test suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings

from ndzarr import creation
from tests.servers.fixtures import (  # noqa: F401  # pytest finds hooks and fixtures by their names here
    azurite,
    ferretdb,
    gcs,
    moto,
    nginx,
    postgres,
    pytest_configure_node,
    versitygw,
)

# Of whatever profile is in force: a busy machine is no failure.
settings.register_profile("unhurried", parent=settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--index-examples",
        type=int,
        default=5000,
        metavar="N",
        help="how many index expressions tests/test_numpy_parity.py compares with NumPy (default 5000)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "formats(*versions): the formats that a test with `zarr_format` is about, if not both")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for `zarr_format` once for each format."""
    given = any("zarr_format" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "zarr_format" in metafunc.fixturenames and not given:
        mark = metafunc.definition.get_closest_marker("formats")
        versions = (2, 3) if mark is None else mark.args
        metafunc.parametrize("zarr_format", versions, ids=[f"v{version}" for version in versions], indirect=True)


@pytest.fixture
def zarr_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The format of all that a test makes without naming one."""
    version: int = request.param
    monkeypatch.setattr(creation, "NEWEST", version)
    return version


@dataclass(frozen=True)
class Names:
    """What objects are called in a format: written down here, not asked of the library."""

    document: str
    chunk: Callable[..., str]


@pytest.fixture
def names(zarr_format: int) -> Names:
    """The names of objects in the format that the test is run for."""
    if zarr_format == 2:
        return Names(".zarray", lambda *coords: ".".join(map(str, coords)) or "0")
    return Names("zarr.json", lambda *coords: "/".join(["c", *map(str, coords)]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted with `record_property("count: ...", n)`, summed over tests and workers."""
    counts: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call" and report.passed:
                for name, number in report.user_properties:
                    if name.startswith("count: "):
                        counts[name[7:]] = counts.get(name[7:], 0) + number
    for name, number in sorted(counts.items()):
        terminalreporter.write_line(f"{name}: {number:,}")
