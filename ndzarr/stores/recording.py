"""A store that notes every request made of another, and one that answers them again from the notes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from ndzarr._typing import Buffer, ByteRange, Json, Key
from ndzarr.errors import ArgumentError, MetadataError, NotRecordedError, ReadOnlyError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix
from ndzarr.stores.base import Store, as_view, list_, own_lock, span
from ndzarr.stores.wrapper import Request, WrapperStore, checked

_T = TypeVar("_T")
_Answer: TypeAlias = Callable[[Any, int], tuple[Buffer | None, Json]]
_FORMAT = "ndzarr trace"
_READS = frozenset({"get", "get_tagged", "get_many", "get_many_tagged", "get_each"})
_WRITES = frozenset({"set", "set_if", "set_many", "set_many_if"})
_DELETES = frozenset({"delete", "delete_many"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request. Each key of a batch is one, all with the same `batch`, the number of the call.

    op, key, range: what was asked, by name of the method, and nbytes how many bytes went either way.
    at_s: when it began, in seconds since the recording did; duration_s: how long the call took, for each request of a
    `get_each` until its own answer was there. found: what `list`, `list_dir`, `size` and `exists` said, whether `set_if`
    wrote; False for a value that was missing. error: class and message of what was raised. payload: the bytes themselves, in
    base64, or "sha256:...".
    """

    op: str
    key: str | None
    range: ByteRange | None
    nbytes: int | None
    at_s: float
    duration_s: float
    batch: int | None = None
    found: Json = None
    error: tuple[str, str] | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Requests:
    """What was asked of a store, by operation: calls (a batch is one), requests, and nbytes, the bytes read and written.

    errors: requests that ended in an exception.
    """

    calls: Mapping[str, int]
    requests: Mapping[str, int]
    nbytes: Mapping[str, int]
    errors: int

    @property
    def total(self) -> int:
        """How many calls there were."""
        return sum(self.calls.values())


def counted(records: Iterable[Recorded]) -> Requests:
    """The counts of a trace."""
    calls: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    errors, batches = 0, set()
    for record in records:
        if record.batch is None or record.batch not in batches:
            calls[record.op] += 1
            batches.add(record.batch)
        requests[record.op] += 1
        nbytes[record.op] += record.nbytes or 0
        errors += record.error is not None
    return Requests(calls, requests, nbytes, errors)


class RecordingStore(WrapperStore):
    """`inner`, and a note of each request: what, which key and range, how many bytes, when, how long, what was raised.

    payloads: False notes no values; "sha256" their digests; True the values themselves, so that `ReplayStore` can answer again
    without `inner`. `save` writes the notes as lines of JSON. Thread-safe. Pickles with the notes so far.

    >>> from ndzarr import MemoryStore
    >>> store = RecordingStore(MemoryStore({"a": b"123"}))
    >>> _ = store.get("a"), store.get("b")
    >>> store.counts().calls["get"], store.counts().nbytes["get"]
    (2, 3)
    """

    _lock: Any  # see own_lock

    def __init__(self, inner: Store, *, payloads: bool | Literal["sha256"] = False) -> None:
        super().__init__(inner)
        if payloads not in (False, True, "sha256"):
            raise ArgumentError(f"payloads is {payloads!r}, expected False, True or 'sha256'", field="payloads", found=payloads)
        self.payloads = payloads
        if type(self) is RecordingStore:
            self.evidence_after_s = inner.evidence_after_s
        self._records: list_[Recorded] = []
        self._batches = 0
        self._start = time.perf_counter()
        own_lock(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start = time.perf_counter()
        own_lock(self)

    @property
    def url(self) -> str:
        return f"recording:{self.inner.url}"

    @property
    def records(self) -> Sequence[Recorded]:
        """The notes so far, in the order in which the answers came."""
        with self._lock:
            return tuple(self._records)

    def counts(self) -> Requests:
        """How many calls there were, and how many bytes, by operation."""
        return counted(self.records)

    def clear(self) -> None:
        """Forget the notes so far."""
        with self._lock:
            self._records.clear()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the notes to a file: a line that says what it is, then a line of JSON for each."""
        lines = [{"format": _FORMAT, "version": 1, "store": self.inner.url, "tagged": self.tagged, "batched": self.batched}]
        lines += [_to_json(record) for record in self.records]
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    # ---- noting --------------------------------------------------------------------------------

    def _note(self, record: Recorded, value: Buffer | None = None) -> None:
        if value is not None:
            view = as_view(record.key or "", value)
            payload = None
            if self.payloads is True:
                payload = b64encode(view).decode()
            elif self.payloads:
                payload = f"sha256:{hashlib.sha256(view).hexdigest()}"
            record = replace(record, nbytes=view.nbytes, payload=payload)
        with self._lock:
            self._records.append(record)

    def _call(self, op: str, keys: Sequence[Request], run: Callable[[], _T], answer: _Answer) -> _T:
        """What `run` gives, noted for each of `keys`: `answer(result, number)` is (a value or None, what else was said)."""
        begun, batch = time.perf_counter(), self._batch(op)
        failure: tuple[str, str] | None = None
        results: list_[_T] = []
        try:
            results.append(run())
            return results[0]
        except BaseException as error:
            failure = type(error).__name__, str(error)
            raise
        finally:
            spent = time.perf_counter() - begun
            for number, (key, range) in enumerate(keys):
                record = Recorded(op, key, range, None, begun - self._start, spent, batch, None, failure)
                value, said = (None, None) if failure else answer(results[0], number)
                self._note(replace(record, found=said), value)

    def _batch(self, op: str) -> int | None:
        if op not in _MANY:
            return None
        with self._lock:
            self._batches += 1
            return self._batches

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        return self._call("get", [(check_key(key), range)], lambda: self.inner.get(key, range), lambda found, _: _seen(found))

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        wanted = [(check_key(key), range)]
        return self._call(
            "get_tagged", wanted, lambda: self.inner.get_tagged(key, range), lambda found, _: _seen(found and found[0])
        )

    def evidence(self, keys: Sequence[Key]) -> list_[str | None]:
        wanted: list_[Request] = [(check_key(key), None) for key in keys]
        ask = super().evidence
        return self._call("evidence", wanted, lambda: ask(keys), lambda found, n: (None, found[n]))

    def get_many(self, requests: Iterable[Request]) -> list_[Buffer | None]:
        wanted = checked(requests)
        return self._call("get_many", wanted, lambda: self.inner.get_many(wanted), lambda found, n: _seen(found[n]))

    def get_many_tagged(self, requests: Iterable[Request]) -> list_[tuple[Buffer, Hashable] | None]:
        wanted = checked(requests)

        def answer(found: list_[Any], number: int) -> tuple[Any, Any]:
            return _seen(found[number] and found[number][0])

        return self._call("get_many_tagged", wanted, lambda: self.inner.get_many_tagged(wanted), answer)

    def get_each(self, requests: Iterable[Request]) -> Generator[tuple[int, Buffer | None], None, None]:
        wanted = checked(requests)
        begun, batch = time.perf_counter(), self._batch("get_each")
        left = dict(enumerate(wanted))

        def record(number: int, **more: Any) -> Recorded:
            key, range = left.pop(number)
            spent = time.perf_counter() - begun
            return Recorded("get_each", key, range, None, begun - self._start, spent, batch, **more)

        try:
            for number, value in self.inner.get_each(wanted):
                if value is None:
                    self._note(record(number, found=False))
                else:
                    self._note(record(number), value)
                yield number, value
        except GeneratorExit:
            raise
        except BaseException as error:
            for number in [*left]:
                self._note(record(number, error=(type(error).__name__, str(error))))
            raise

    def set(self, key: Key, value: Buffer) -> None:
        self._call("set", [(check_key(key), None)], lambda: self.inner.set(key, value), lambda *_: (value, None))

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        wanted = [(check_key(key), None)]
        return self._call(
            "set_if",
            wanted,
            lambda: self.inner.set_if(key, value, tag=tag),
            lambda won, _: (value, None) if won else (None, False),
        )

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        values = {check_key(key): value for key, value in items.items()}
        written = [*values.values()]
        self._call(
            "set_many", [(k, None) for k in values], lambda: self.inner.set_many(values), lambda _, n: (written[n], None)
        )

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        keys = [check_key(key) for key in items]

        def answer(won: dict[Key, bool], number: int) -> tuple[Any, Any]:
            return (items[keys[number]][0], None) if won[keys[number]] else (None, False)

        return self._call("set_many_if", [(key, None) for key in keys], lambda: self.inner.set_many_if(items), answer)

    def delete(self, key: Key) -> None:
        self._call("delete", [(check_key(key), None)], lambda: self.inner.delete(key), _nothing)

    def delete_many(self, keys: Iterable[Key]) -> None:
        names = [check_key(key) for key in keys]
        self._call("delete_many", [(key, None) for key in names], lambda: self.inner.delete_many(names), _nothing)

    def delete_prefix(self, prefix: str) -> None:
        self._call("delete_prefix", [(check_prefix(prefix), None)], lambda: self.inner.delete_prefix(prefix), _nothing)

    def move_prefix(self, old: str, new: str) -> bool:
        wanted = [(check_folder(old), None), (check_folder(new), None)]
        return self._call("move_prefix", wanted, lambda: self.inner.move_prefix(old, new), lambda done, _: (None, done))

    def list(self, prefix: str = "") -> Iterable[Key]:
        return self._call(
            "list", [(check_prefix(prefix), None)], lambda: [*self.inner.list(prefix)], lambda keys, _: (None, keys)
        )

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        wanted = [(check_folder(prefix), None)]
        return self._call("list_dir", wanted, lambda: [*self.inner.list_dir(prefix)], lambda names, _: (None, names))

    def size(self, key: Key) -> int | None:
        return self._call("size", [(check_key(key), None)], lambda: self.inner.size(key), lambda nbytes, _: (None, nbytes))

    def exists(self, key: Key) -> bool:
        return self._call("exists", [(check_key(key), None)], lambda: self.inner.exists(key), lambda there, _: (None, there))


_MANY = frozenset(
    {"evidence", "get_many", "get_many_tagged", "get_each", "set_many", "set_many_if", "delete_many", "move_prefix"}
)


def _seen(value: Buffer | None) -> tuple[Buffer | None, Json]:
    return (None, False) if value is None else (value, None)


def _nothing(*_: Any) -> tuple[None, None]:
    return None, None


def _to_json(record: Recorded) -> dict[str, Any]:
    fields = {name: getattr(record, name) for name in Recorded.__dataclass_fields__}
    fields.update(at_s=round(record.at_s, 6), duration_s=round(record.duration_s, 6))
    return {name: value for name, value in fields.items() if value is not None}


def read_trace(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list_[Recorded]]:
    """What `RecordingStore.save` wrote: the first line, and the notes. Raises StoreError and MetadataError."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        head, *rest = lines
        if head.get("format") != _FORMAT or head.get("version") != 1:
            raise ValueError(f"its first line is {head!r}")
        records = []
        for line in rest:
            line["range"] = ByteRange(*line["range"]) if line.get("range") else None
            line["error"] = tuple(line["error"]) if line.get("error") else None
            records.append(Recorded(**{"key": None, "nbytes": None, **line}))
    except OSError as error:
        raise StoreError(f"cannot read the trace {os.fspath(path)!r}: {error}") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MetadataError(f"{os.fspath(path)!r} is no trace that RecordingStore.save wrote: {error}") from error
    return head, records


class ReplayStore(Store):
    """A trace, as a store that can be read: every request that it holds is answered as it was then, without the store it is of.

    trace: the path of what `RecordingStore(..., payloads=True).save` wrote, or that store itself. A request that was made
    several times gets its answers in turn, and then the last one again; errors are raised again, as StoreError. What the trace
    wrote counts as read after that. Ranges and sizes are also answered out of whole values. Raises NotRecordedError for a
    request that the trace does not hold. Pickles with the trace. Thread-safe.
    """

    tagged = False
    _lock: Any  # see own_lock

    def __init__(self, trace: str | os.PathLike[str] | RecordingStore) -> None:
        self.writable = False
        if isinstance(trace, RecordingStore):
            self._named, self._of, records = "memory", trace.inner.url, [*trace.records]
            self.batched = trace.batched
        else:
            head, records = read_trace(trace)
            self._named, self._of = os.fspath(trace), str(head.get("store"))
            self.batched = bool(head.get("batched"))
        self.records: Sequence[Recorded] = tuple(records)
        self._answers: dict[tuple[str, str | None, ByteRange | None], list_[Recorded]] = {}
        for record in self.records:
            self._learn(record)
        self._turns: Counter[tuple[str, str | None, ByteRange | None]] = Counter()
        own_lock(self)

    def _learn(self, record: Recorded) -> None:
        op, range = record.op, record.range
        if op in _WRITES | _DELETES:
            if record.error or record.found is False:
                return  # it changed nothing
            record = replace(record, found=False if op in _DELETES else None)
        if op in _READS | _WRITES | _DELETES:
            op = "get"
        self._answers.setdefault((op, record.key, range), []).append(record)
        short = range is not None and range.start == 0 and record.nbytes is not None
        if short and range is not None and (range.stop is None or (record.nbytes or 0) < range.stop):
            self._answers.setdefault((op, record.key, None), []).append(record)  # it is all of the value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        own_lock(self)

    @property
    def url(self) -> str:
        return f"replay:{self._named}"

    def counts(self) -> Requests:
        """How many calls the trace holds, and how many bytes, by operation."""
        return counted(self.records)

    # ---- answering --------------------------------------------------------------------------------

    def _answer(self, op: str, key: str, range: ByteRange | None = None) -> Recorded | None:
        asked = (op, key, range)
        with self._lock:
            answers = self._answers.get(asked)
            if answers is None:
                return None
            found = answers[min(self._turns[asked], len(answers) - 1)]
            self._turns[asked] += 1
        if found.error is not None:
            raise StoreError(f"replayed {found.error[0]}: {found.error[1]}", store=self.url, key=key)
        return found

    def _lacking(self, op: str, key: str, range: ByteRange | None = None, why: str = "it was not made") -> NotRecordedError:
        part = "" if range is None else f" bytes {range[0]}:{'' if range[1] is None else range[1]}"
        return NotRecordedError(
            f"cannot replay {op} of {key!r}{part}: {why} when {self._of} was recorded",
            store=self.url,
            key=key,
            found=(op, range),
        )

    def _value(self, record: Recorded, range: ByteRange | None) -> bytes:
        if record.payload is None or record.payload.startswith("sha256:"):
            raise self._lacking("get", record.key or "", range, "its bytes were not kept (payloads=True keeps them)")
        return b64decode(record.payload)

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        check_key(key)
        range = None if range is None else ByteRange(*range)
        found = self._answer("get", key, range)
        if found is not None:
            return None if found.found is False else self._value(found, range)
        whole = None if range is None else self._answer("get", key)
        if whole is None or range is None:
            raise self._lacking("get", key, range)
        if whole.found is False:
            return None
        value = self._value(whole, range)
        start, length = span(range, len(value))
        return value[start : start + length]

    def size(self, key: Key) -> int | None:
        found = self._answer("size", check_key(key))
        if found is not None:
            return found.found if isinstance(found.found, int) else None
        whole = self._answer("get", key)
        if whole is None:
            raise self._lacking("size", key)
        return None if whole.found is False else whole.nbytes

    def exists(self, key: Key) -> bool:
        found = self._answer("exists", check_key(key))
        if found is not None:
            return bool(found.found)
        for asked in [asked for asked in self._answers if asked[:2] == ("get", key)]:
            some = self._answer(*asked)  # type: ignore[arg-type]  # a "get" has a key
            return some is not None and some.found is not False
        return self.size(key) is not None

    def list(self, prefix: str = "") -> Iterable[Key]:
        found = self._answer("list", check_prefix(prefix))
        if found is not None:
            return [*found.found]
        whole = self._answer("list", "")
        if whole is None:
            raise self._lacking("list", prefix)
        return [key for key in whole.found if key.startswith(prefix)]

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        found = self._answer("list_dir", check_folder(prefix))
        if found is not None:
            return [*found.found]
        try:
            return [*super().list_dir(prefix)]
        except NotRecordedError:
            raise self._lacking("list_dir", prefix) from None

    # ---- refusing --------------------------------------------------------------------------------

    def set(self, key: Key, value: Buffer) -> None:
        self._must_write(check_key(key))

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        self._must_write(check_key(key))
        return False

    def delete(self, key: Key) -> None:
        self._must_write(check_key(key))

    def delete_prefix(self, prefix: str) -> None:
        raise ReadOnlyError(f"cannot change {check_prefix(prefix)!r}: {self.url} is open for reading only", store=self.url)
