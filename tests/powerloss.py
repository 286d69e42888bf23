"""A small model of a disk that loses what was not synced: a trace of system calls in, the states after a loss of power out.

What survives of a file is what it held when it was last synced, and any part of what was written since. Of a directory it is
the entries it had when it was last synced, and any of the changes since, whichever of them the system happened to write first;
a rename is one change. Nothing is taken for granted that a real file system may do besides, such as writing a new file's entry
when the file is synced. No word of it is the library's.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

CALLS = (
    "open,openat,creat,close,write,pwrite64,writev,pwritev,copy_file_range,sendfile,ftruncate,truncate,fallocate,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,dup,dup2,dup3"
)
#: Names of what need not survive: locks end with the machine, temporary files are nobody's.
_PASSING = re.compile(r"\.ndzarr(-tmp-.*)?|locks|stripes")

_line = re.compile(r"(\d+) +(.*)")
_call = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)")
_resumed = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_token = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?|([^,"]+)')


def trace(program: str, arguments: Iterable[str], log: Path) -> None:
    """Run a Python program and write its system calls to `log`. It says where it is by calling `mkdir` on `/.mark/TEXT/`."""
    command = ["strace", "-f", "-qq", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", program, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@dataclass
class Call:
    """One system call that succeeded; `begun` is the place in the trace where it began, as `index` is where it returned."""

    name: str
    arguments: list[str | bytes]
    result: int
    begun: int
    index: int


def calls(log: Path) -> Iterator[Call]:
    """The calls of a trace in the order in which they returned, and marks, which failed."""
    waiting: dict[str, tuple[str, int]] = {}
    for index, line in enumerate(log.read_text(errors="surrogateescape").splitlines()):
        match = _line.match(line)
        if match is None:
            continue
        pid, text = match.groups()
        begun = index
        if text.endswith("<unfinished ...>"):
            waiting[pid] = text.removesuffix("<unfinished ...>"), index
            continue
        if resumed := _resumed.match(text):
            start, begun = waiting.pop(pid)
            text = start + resumed[1]
        if found := _call.match(text):
            arguments = [
                bytes.fromhex(m[1].replace("\\x", "")) if m[0].startswith('"') else m[2].strip()
                for m in _token.finditer(found[2])
                if m[0].startswith('"') or m[2].strip()
            ]
            result = -1 if found[3] == "?" else int(found[3], 0)
            is_mark = found[1] == "mkdir" and isinstance(arguments[0], bytes) and arguments[0].startswith(b"/.mark/")
            if result >= 0 or is_mark:
                yield Call(found[1], arguments, result, begun, index)


@dataclass
class File:
    """A file: what it holds, and what is certain to be on the disk of that."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    changed: bool = False


@dataclass
class Change:
    """What became of names in directories, in one step; no longer pending once any of the directories has been synced."""

    entries: list[tuple[Folder, str, File | Folder | None]]
    index: int


@dataclass(eq=False)
class Folder:
    """A directory: its entries, and those that are certain to be on the disk."""

    entries: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)


Entries: TypeAlias = Callable[[Folder], dict[str, File | Folder]]


@dataclass
class Disk:
    """What is below `root`, a directory that is there from the beginning, empty and synced."""

    root: str
    top: Folder = field(default_factory=Folder)
    pending: list[Change] = field(default_factory=list)
    opened: dict[int, File | Folder] = field(default_factory=dict)
    #: Final names put in place by renaming; of them, those whose file had not been synced.
    renames: int = 0
    early: list[str] = field(default_factory=list)

    def find(self, path: str) -> File | Folder | None:
        """What is at an absolute path."""
        if path == self.root:
            return self.top
        if not path.startswith(self.root + "/"):
            return None
        node: File | Folder | None = self.top
        for name in path[len(self.root) + 1 :].split("/"):
            node = node.entries.get(name) if isinstance(node, Folder) else None
        return node

    def _change(self, index: int, *entries: tuple[str, File | Folder | None]) -> None:
        placed: list[tuple[Folder, str, File | Folder | None]] = []
        for path, node in entries:
            above, name = os.path.split(path)
            folder = self.find(above)
            if not isinstance(folder, Folder):
                continue  # outside
            placed.append((folder, name, node))
            if node is None:
                folder.entries.pop(name, None)
            else:
                folder.entries[name] = node
        if placed:
            self.pending.append(Change(placed, index))

    def _sync(self, node: File | Folder, begun: int) -> None:
        if isinstance(node, File):
            node.synced, node.changed = bytes(node.data), False
            return
        left = []
        for change in self.pending:
            if change.index < begun and any(folder is node for folder, _, _ in change.entries):
                _apply(change, lambda folder: folder.synced)
            else:
                left.append(change)
        self.pending = left

    def do(self, call: Call) -> bool:
        """What a call does; whether it changed anything."""
        path = [os.fsdecode(a) for a in call.arguments if isinstance(a, bytes)]
        match call.name:
            case "open" | "openat" | "creat":
                flags = next((a for a in call.arguments if isinstance(a, str) and a.startswith("O_")), "O_CREAT|O_TRUNC")
                found = self.find(path[0])
                if "O_TMPFILE" in flags:
                    self.opened[call.result] = File()
                    return False
                if found is None and "O_CREAT" in flags and path[0].startswith(self.root + "/"):
                    found = File()
                    self._change(call.index, (path[0], found))
                    self.opened[call.result] = found
                    return True
                self.opened.pop(call.result, None)
                if found is not None:
                    self.opened[call.result] = found
                    if "O_TRUNC" in flags and isinstance(found, File):
                        found.data.clear()
                        found.changed = True
                        return True
                return False
            case "close":
                self.opened.pop(int(str(call.arguments[0])), None)
                return False
            case "mkdir" | "mkdirat":
                self._change(call.index, (path[0], Folder()))
            case "rename" | "renameat" | "renameat2":
                node = self.find(path[0])
                if node is None:
                    return False
                if not _PASSING.fullmatch(os.path.basename(path[1])):
                    self.renames += 1
                    if isinstance(node, File) and node.changed:
                        self.early.append(path[1])
                self._change(call.index, (path[0], None), (path[1], node))
            case "unlink" | "unlinkat" | "rmdir":
                if self.find(path[0]) is None:
                    return False
                self._change(call.index, (path[0], None))
            case "fsync" | "fdatasync":
                node = self.opened.get(int(str(call.arguments[0])))
                if node is None:
                    return False
                self._sync(node, call.begun)
            case "truncate":
                node = self.find(path[0])
                return isinstance(node, File) and self._cut(node, int(str(call.arguments[1])))
            case _:
                node = self.opened.get(int(str(call.arguments[0]))) if str(call.arguments[0]).isdigit() else None
                if not isinstance(node, File):
                    return False
                return self._written(call, node)
        return True

    def _written(self, call: Call, node: File) -> bool:
        if call.name == "ftruncate":
            return self._cut(node, int(str(call.arguments[1])))
        # Files are written from their start to their end, or at a place that the call names.
        assert call.name in ("write", "pwrite64"), f"the model knows nothing of {call.name}"
        data = bytes(call.arguments[1])[: call.result]
        start = int(str(call.arguments[3])) if call.name == "pwrite64" else len(node.data)
        node.data[start : start + len(data)] = data
        node.changed = True
        return True

    def _cut(self, node: File, length: int) -> bool:
        del node.data[length:]
        node.changed = True
        return True

    # ---- after a loss of power --------------------------------------------------------------------------------

    def unsynced(self) -> list[str]:
        """Names whose change would be lost now, those of passing files and in directories that are gone aside."""
        here = _below(self.top)
        return sorted(
            {
                name
                for change in self.pending
                for folder, name, _ in change.entries
                if folder in here and not _PASSING.fullmatch(name)
            }
        )

    def states(self, rng: random.Random, most: int) -> Iterator[dict[str, bytes | None]]:
        """What the disk may hold if the power is lost now: content by path below the root, None for directories.

        most: changes that have not been synced are tried in all combinations up to this many, beyond that in some.
        """
        count = len(self.pending)
        if count <= most:
            choices: Iterable[tuple[bool, ...]] = itertools.product((False, True), repeat=count)
        else:
            some = [tuple(k < n for k in range(count)) for n in range(count + 1)]  # in order
            some += [tuple(k >= n for k in range(count)) for n in range(count)]  # the last first
            some += [tuple((k == n) is one for k in range(count)) for n in range(count) for one in (False, True)]
            some += [tuple(rng.random() < 0.5 for _ in range(count)) for _ in range(4 * most)]
            choices = some
        for kept in choices:
            folders: dict[int, dict[str, File | Folder]] = {}

            def entries(folder: Folder, folders: dict[int, dict[str, File | Folder]] = folders) -> dict[str, File | Folder]:
                return folders.setdefault(id(folder), dict(folder.synced))

            for change, keep in zip(self.pending, kept, strict=True):
                if keep:
                    _apply(change, entries)
            for share in (0.0, 0.5, 1.0):
                state: dict[str, bytes | None] = {}
                if not _gather(self.top, "", entries, share, state) and share:
                    break  # no file that makes a difference
                yield state


def _below(folder: Folder) -> set[Folder]:
    return {folder}.union(*(_below(node) for node in folder.entries.values() if isinstance(node, Folder)))


def _apply(change: Change, entries: Entries) -> None:
    for folder, name, node in change.entries:
        if node is None:
            entries(folder).pop(name, None)
        else:
            entries(folder)[name] = node


def _gather(folder: Folder, prefix: str, entries: Entries, share: float, state: dict[str, bytes | None]) -> bool:
    """Whether `share`, how much of what has not been synced is on the disk, made a difference."""
    differs = False
    for name, node in entries(folder).items():
        path = prefix + name
        if isinstance(node, Folder):
            state[path] = None
            differs |= _gather(node, path + "/", entries, share, state)
        else:
            differs |= node.changed
            cut = node.changed and share > 0
            state[path] = bytes(node.data[: int(share * len(node.data))]) if cut else node.synced
    return differs


def put(state: dict[str, bytes | None], root: str) -> None:
    """Make the directory `root` hold a state, and nothing else."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    for name, data in state.items():
        path = os.path.join(root, name)
        if data is None:
            os.makedirs(path, exist_ok=True)
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)
