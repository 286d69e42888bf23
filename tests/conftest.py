"""Options and fixtures for the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--index-examples",
        type=int,
        default=5000,
        metavar="N",
        help="how many index expressions tests/test_numpy_parity.py compares with NumPy (default 5000)",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted with `record_property("count: ...", n)`, summed over tests and workers."""
    counts: dict[str, int] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, number in report.user_properties:
                    if name.startswith("count: "):
                        counts[name[7:]] = counts.get(name[7:], 0) + number
    for name, number in sorted(counts.items()):
        terminalreporter.write_line(f"{name}: {number:,}")
