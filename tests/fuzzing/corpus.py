"""Every input that ever failed, here or in another library, kept in `corpus/`: one small JSON file each."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzzing.subjects import Subject
from tests.fuzzing.worker import Failure, Task

FOLDER = Path(__file__).with_name("corpus")


@dataclass(frozen=True)
class Entry:
    """Bytes for a subject, and what happened with them once."""

    subject: str
    data: bytes
    was: str


def entries() -> list[Entry]:
    """All of them, by file name."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        entry = json.loads(path.read_text())
        data = entry["text"].encode() if "text" in entry else bytes.fromhex(entry["hex"])
        found.append(Entry(entry["subject"], data, entry["was"]))
    return found


def tasks(subjects: Sequence[Subject]) -> list[Task]:
    """Each entry, for each way of reading; KeyError for a subject that is no more."""
    known = {subject.name: subject for subject in subjects}
    found: dict[str, list[tuple[bytes, int]]] = {}
    for entry in entries():
        ways = known[entry.subject].ways
        found.setdefault(entry.subject, []).extend((entry.data, way) for way in range(ways))
    return [Task(known[name], 0, len(given), given) for name, given in found.items()]


def keep(failure: Failure, data: bytes, was: str) -> Path:
    """The file in which an input is kept from now on."""
    return write(failure.subject, data, was)


def write(subject: str, data: bytes, was: str) -> Path:
    """The same for any subject."""
    slug = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")
    path = FOLDER / f"{slug}-{zlib.crc32(data):08x}.json"
    try:
        body = {"text": data.decode("ascii")} if subject[:3] in ("v2 ", "v3 ", "v2", "v3") else {"hex": data.hex()}
    except UnicodeDecodeError:
        body = {"hex": data.hex()}
    path.write_text(json.dumps({"subject": subject, "was": was, **body}, indent=1) + "\n")
    return path
