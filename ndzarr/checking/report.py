"""What a check found: counts, findings, and a text that says within the first line whether data are lost. Pure; no store."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ndzarr.stores.remains import Level

#: Of each kind of finding so many are kept one by one; all are counted.
MOST = 10_000
#: Of each kind so many are shown.
_SHOWN = 5

#: Each kind of finding, in the order in which they are shown, and what its heading says.
KINDS = {
    "metadata": "metadata documents that cannot be understood",
    "unreadable": "objects that the store cannot give",
    "undecodable": "chunks that cannot be decoded",
    "checksum": "chunks whose checksum is wrong",
    "truncated": "chunks that are cut short",
    "size": "chunks of a wrong size",
    "index": "shards whose index is missing or damaged",
    "directory": "something else in a chunk's place",
    "orphan": "chunks that belong to no array, or lie outside of it",
    "stray": "metadata documents where none should be",
    "transaction": "transactions that were cut short",
    "stale": "consolidated metadata that are out of date",
    "duplicate": "names that are in an archive more than once",
    "collision": "names that some file systems take for the same",
    "leftover": "temporary files that were left over",
    "unchecked": "arrays that could not be looked into",
    "statistics": "statistics of chunks that are damaged, and not used",
    "suspects": "set aside by an earlier repair",
    "other": "files that are none of Zarr's",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    kind: one of those that docs/checking.md lists. where: a key, or the path of a node. message: what was
    found there, in words. level: "error" where data cannot be
    read, "warning" where something is wrong and all data can be read, "note" where all is well. remedy: what `repair` does
    about it, None where that does nothing. repaired: what was done, None where nothing was. failed: why it could not be done.
    """

    kind: str
    where: str
    message: str
    level: Level
    remedy: str | None = None
    repaired: str | None = None
    failed: str | None = None

    @property
    def open(self) -> bool:
        """Whether something is wrong still."""
        return self.level != "note" and self.repaired is None


@dataclass(frozen=True, slots=True)
class Report:
    """What `ndzarr.check` found in a store; `print(report)` says it in words.

    store, path: where, and seconds: for how long. repair: whether it was to be repaired.
    groups, arrays, chunks, nbytes: what was looked at; a shard is one chunk here. decoded: whether every chunk was decoded.
    findings: the worst kinds first, the first 10,000 of each. totals: how many there are of each kind, and of each level; left:
    how many of each level are wrong still.
    """

    store: str
    path: str
    groups: int
    arrays: int
    chunks: int
    nbytes: int
    seconds: float
    decoded: bool
    repair: bool
    findings: tuple[Finding, ...]
    totals: Mapping[str, int]
    left: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return not self.left["error"] and not self.left["warning"]

    def to_json(self) -> str:
        """All of it as one JSON document."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "findings"}
        findings = [asdict(finding) for finding in self.findings]
        return json.dumps({"ok": self.ok, **fields, "findings": findings}, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        return "\n".join([*self._head(), *self._body(), *self._advice()])

    def _head(self) -> list[str]:
        how = "" if self.decoded else ", sizes only"
        counts = f"{_of(self.groups, 'group')}, {_of(self.arrays, 'array')}, {_of(self.chunks, 'chunk')}"
        where = f"{self.store} {self.path}".rstrip()
        return [self._verdict(), f"  {where}: {counts}, {_size(self.nbytes)}{how}, in {self.seconds:.1f} s"]

    def _verdict(self) -> str:
        """What whoever is afraid for data wants to know first."""
        errors, wrong = self.totals["error"], self.totals["error"] + self.totals["warning"]
        left = self.left["error"] + self.left["warning"]
        if not wrong:
            return "OK: no damage found"
        if not errors:
            done = "" if left else ", and put right"
            return f"NO DATA LOST: {_of(wrong, 'thing')} found that {'is' if wrong == 1 else 'are'} not in order{done}"
        rest = "all else can" if self.decoded else "nothing else was decoded"
        done = "" if not self.repair else f"; {errors - self.left['error']:,} set aside or removed"
        return f"DATA DAMAGED: {_of(errors, 'object')} cannot be read, {rest}{done}"

    def _body(self) -> list[str]:
        lines = []
        for kind, title in KINDS.items():
            found = [finding for finding in self.findings if finding.kind == kind]
            if not found:
                continue
            level = "error" if any(f.level == "error" for f in found) else max(f.level for f in found)
            lines += ["", f"{level.upper()}  {title} ({self.totals[kind]:,})"]
            for finding in found[:_SHOWN]:
                lines.append(f"  {finding.where or '/'}")
                lines.append(f"      {finding.message}")
                if finding.repaired is not None:
                    lines.append(f"      -> {finding.repaired}")
                elif finding.failed is not None:
                    lines.append(f"      -> not repaired: {finding.failed}")
            if self.totals[kind] > _SHOWN:
                lines.append(f"  ... and {self.totals[kind] - _SHOWN:,} more; to_json() lists them, as --json does")
            remedies = list(dict.fromkeys(f.remedy for f in found if f.remedy is not None and f.repaired is None))
            if not self.repair and remedies:
                lines.append(f"  repair would: {'; or: '.join(remedies)}")
        return lines

    def _advice(self) -> list[str]:
        if not self.totals["error"] + self.totals["warning"]:
            return []
        if self.ok:
            return ["", "Everything found was put right. Nothing that was set aside is deleted."]
        if self.repair:
            return ["", "What is left cannot be repaired here: restore it from a copy, or write it again."]
        if not any(finding.open and finding.remedy is not None for finding in self.findings):
            return ["", "Next: repair can do nothing about these; restore them from a copy, or write them again."]
        lines = [
            "",
            "Next: `ndzarr check --repair` or ndzarr.check(..., repair=True) does what is said above. No data is deleted.",
        ]
        if self.totals["error"]:
            lines.append("If you have a copy, restore from it what cannot be read first.")
        return lines


class Notes:
    """Findings while they come in, from any thread."""

    def __init__(self) -> None:
        self.found: dict[str, list[Finding]] = {}
        self.totals: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.chunks = self.nbytes = 0
        self._places: dict[int, int] = {}  # of a finding in its list
        self._lock = threading.Lock()

    def add(self, finding: Finding) -> Finding:
        """Take a finding, and give it back."""
        with self._lock:
            self.totals[finding.kind] += 1
            self.totals[finding.level] += 1
            self.left[finding.level] += finding.open
            kept = self.found.setdefault(finding.kind, [])
            if len(kept) < MOST:
                self._places[id(finding)] = len(kept)
                kept.append(finding)
        return finding

    def repaired(self, finding: Finding, done: str) -> None:
        """Say of a finding that it was repaired, and how."""
        with self._lock:
            self.left[finding.level] -= 1
            self._swap(finding, replace(finding, repaired=done))

    def failed(self, finding: Finding, why: str) -> None:
        """Say of a finding that it could not be repaired, and why."""
        with self._lock:
            self._swap(finding, replace(finding, failed=why))

    def _swap(self, old: Finding, new: Finding) -> None:
        place = self._places.get(id(old))
        if place is not None and self.found[old.kind][place] is old:
            self.found[old.kind][place] = new

    def count(self, nbytes: int) -> None:
        """Count one object that was looked at."""
        with self._lock:
            self.chunks += 1
            self.nbytes += nbytes

    def sorted(self) -> tuple[Finding, ...]:
        """All that are kept, the worst kinds first, and in a kind by where they are."""
        return tuple(finding for kind in KINDS for finding in sorted(self.found.get(kind, ()), key=lambda f: f.where))


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _size(nbytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:,.0f} {unit}" if unit == "bytes" else f"{nbytes:,.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.1f} TiB"
