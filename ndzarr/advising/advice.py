"""What advice says: findings with their reason, the numbers behind them, and code to run. Pure; no store."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from ndzarr.display import format_nbytes

#: What evidence is made of: plain numbers, and words such as the name of a codec.
Evidence: TypeAlias = Mapping[str, int | float | str | list[int]]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that could be better.

    kind: one of those that docs/choosing.md lists. where: the path of the array or group. reason: what is so, in words.
    evidence: the numbers that say so, sizes in bytes. call: Python that does it, where `z` is the array, `store` the store, and
    `dst` a new place; "" where there is no single call. lossy: whether values may change by it. gain: the share of what is
    stored, fetched or asked for that is likely saved, from 0 to 1.
    """

    kind: str
    where: str
    reason: str
    evidence: Evidence
    call: str
    gain: float
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """What `ndzarr.advise` found; `print(advice)` says it in words. A sequence of its findings, the greatest gain first.

    target: what was looked at. looked_at: how much of it: "arrays", "objects" by name, "chunks" decoded, "nbytes" of them, and
    "requests" of a trace. complete: False where there was more than the limits allow.
    """

    target: str
    findings: tuple[Suggestion, ...]
    looked_at: Mapping[str, int]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.findings)

    def __getitem__(self, index: int) -> Suggestion:
        return self.findings[index]

    def to_json(self) -> str:
        """All of it as one JSON document."""
        found = {
            "target": self.target,
            "looked_at": dict(self.looked_at),
            "complete": self.complete,
            "findings": [asdict(finding) for finding in self.findings],
        }
        return json.dumps(found, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        seen = ", ".join(
            format_nbytes(count) if what == "nbytes" else f"{count:,} {what}" for what, count in self.looked_at.items()
        )
        more = "" if self.complete else "; there is more, which was not looked at"
        lines = [f"{self.target}: {_findings(len(self.findings))} ({seen}{more})"]
        for finding in self.findings:
            lossy = ", changes values" if finding.lossy else ""
            lines += ["", f"{finding.where or '/'}  {finding.kind}, saves about {finding.gain * 100:.0f} %{lossy}"]
            lines += textwrap.wrap(finding.reason, 110, initial_indent="  ", subsequent_indent="  ")
            lines += [f"    {line}" for line in finding.call.splitlines()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(f.where or '/')}</td><td>{html.escape(f.kind)}</td><td>{f.gain * 100:.0f} %</td>"
            f"<td style='text-align:left'>{html.escape(f.reason)}"
            f"{' <b>Changes values.</b>' if f.lossy else ''}<pre>{html.escape(f.call)}</pre></td></tr>"
            for f in self.findings
        )
        head = html.escape(f"{self.target}: {_findings(len(self.findings))}")
        table = f"<table><tr><th>where</th><th>what</th><th>saves</th><th>why, and how</th></tr>{rows}</table>"
        return f"<div>{head}{table if rows else ''}</div>"


def _findings(count: int) -> str:
    return "nothing to advise" if not count else f"{count:,} finding{'' if count == 1 else 's'}"


def sorted_findings(findings: list[Suggestion]) -> tuple[Suggestion, ...]:
    """The greatest gain first, what changes values last."""
    return tuple(sorted(findings, key=lambda f: (f.lossy, -f.gain, f.where, f.kind)))


def size_text(nbytes: int) -> str:
    """A size that `chunks=` takes, rounded down."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= 8 * unit or (nbytes >= unit and not nbytes % unit):
            return f"{nbytes // unit}{name}"
    return f"{nbytes}B"
