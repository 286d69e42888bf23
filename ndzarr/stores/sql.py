"""A store in a table of a database: SQLite or PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ndzarr._typing import Buffer, ByteRange, Key
from ndzarr.errors import ArgumentError, NdzarrError, StoreError
from ndzarr.keys import check_folder, check_key, check_prefix, is_key
from ndzarr.stores.base import Store, as_bytes, list_
from ndzarr.stores.database import Database, Found, Keys, starting_with
from ndzarr.stores.files import absolute_path

_is_table = re.compile("[A-Za-z_][A-Za-z0-9_]{0,62}").fullmatch
_MEMORY = ":memory:"
#: Parameters of a URL that are ours; all others are libpq's.
_OURS = ("table", "prefix", "timeout")
#: Parameters of libpq's that no message may show.
_SECRET = ("password", "sslpassword")


class SQLStore(Store):
    """Rows of the table `table` in the database at `url`; table and file are made by the first `set`.

    url: "sqlite:///relative.db", "sqlite:////absolute.db", "sqlite:///:memory:" (a database of this store alone), or
    "postgresql://user@host/database" with whatever libpq takes, several hosts for instance; that needs
    `pip install 'ndzarr[postgres]'`. `?table=`, `&prefix=` and `&timeout=` say the same as the arguments.
    prefix: what all keys in the table start with, "" or ending in "/", so that stores can share a table. timeout_s: how long
    to wait for another writer before StoreError. `readonly=True` refuses writes.

    Every call is a transaction of the database; `ndzarr.transaction(store)` makes one of many writes. A database that cannot
    answer is a StoreError, never a missing key. Pickles by its URL, password included, a database in memory by value.
    Thread-safe; after fork, the child makes connections of its own.

    >>> import tempfile, ndzarr
    >>> with tempfile.TemporaryDirectory() as folder, ndzarr.SQLStore(f"sqlite://{folder}/a.db") as store:
    ...     with store.transaction():
    ...         store.set("a", b"123")
    ...     store.get("a")
    b'123'
    """

    scheme: ClassVar[str | None] = "sqlite"
    conditional = True
    tagged = True
    batched = True
    exclusive = True
    transactional = True

    def __init__(
        self,
        url: str,
        *,
        table: str | None = None,
        prefix: str | None = None,
        readonly: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        self._open(url, table, prefix, readonly, timeout_s, None)

    def _open(
        self,
        url: str,
        table: str | None,
        prefix: str | None,
        readonly: bool,
        timeout_s: float | None,
        image: bytes | None,
    ) -> None:
        address, own = _split(url)
        self.table = table if table is not None else own.get("table", "ndzarr")
        self.prefix = prefix if prefix is not None else own.get("prefix", "")
        self.timeout_s = _seconds(timeout_s if timeout_s is not None else own.get("timeout", "60"))
        if not _is_table(self.table):
            raise ArgumentError(
                f"table is {self.table!r}, expected up to 63 letters, digits and '_', no digit first",
                field="table",
                found=self.table,
            )
        check_folder(self.prefix)
        self.writable = not readonly
        self._address, self._secrets = address, _secrets(address)
        place = self.prefix or None
        shown = {"table": self.table if self.table != "ndzarr" else None, "prefix": place}
        told = urlencode({name: value for name, value in shown.items() if value}, safe="/")
        self._url = _without_secrets(address)
        if told:
            self._url += ("&" if "?" in self._url else "?") + told
        self._database = self._connect(readonly, image)
        self.exclusive = self._database.shared
        self.by_value = _sqlite_path(address) == _MEMORY

    def _connect(self, readonly: bool, image: bytes | None) -> Database:
        path = _sqlite_path(self._address)
        if path is None:
            try:
                from ndzarr.stores.postgres import Postgres  # psycopg comes along
            except ImportError as error:
                raise ArgumentError(
                    f"cannot open {self._url!r}: psycopg cannot be imported ({error}): pip install 'ndzarr[postgres]'"
                ) from error
            return Postgres(self._address, self.table, self._url, readonly=readonly, timeout_s=self.timeout_s)
        from ndzarr.stores.sqlite import SQLite

        file = None if path == _MEMORY else path
        return SQLite(file, self.table, self._url, readonly=readonly, timeout_s=self.timeout_s, image=image)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> SQLStore:
        """The store that a URL stands for."""
        return cls(url, **options)

    @property
    def url(self) -> str:
        return self._url

    def __getstate__(self) -> dict[str, Any]:
        image = getattr(self._database, "image", lambda: None)()
        options = (self.table, self.prefix, not self.writable, self.timeout_s, image)
        return {"address": self._address, "options": options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open(state["address"], *state["options"])

    # ---- reading --------------------------------------------------------------------------------

    def _read(self, requests: Sequence[tuple[Key, ByteRange | None]], tried: str = "read") -> list_[Found | None]:
        full = [(self.prefix + check_key(key), range) for key, range in requests]
        if not full:
            return []
        with self._reaching(tried, requests[0][0], len(full)):
            return self._database.read(full)

    def get(self, key: Key, range: ByteRange | None = None) -> Buffer | None:
        found = self._read([(key, range)])[0]
        return None if found is None else found.value

    def get_tagged(self, key: Key, range: ByteRange | None = None) -> tuple[Buffer, Hashable] | None:
        return self._read([(key, range)])[0]

    def get_many(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[Buffer | None]:
        return [None if found is None else found.value for found in self._read(list_(requests))]

    def get_many_tagged(self, requests: Iterable[tuple[Key, ByteRange | None]]) -> list_[tuple[Buffer, Hashable] | None]:
        return list_(self._read(list_(requests)))

    def size(self, key: Key) -> int | None:
        check_key(key)
        with self._reaching("read", key):
            return self._database.size(self.prefix + key)

    def list(self, prefix: str = "") -> Iterable[Key]:
        check_prefix(prefix)
        start = len(self.prefix)
        with self._reaching("list", prefix):
            keys = self._database.keys(self._among(prefix))
        # What others may have put into the table is left out where no key could reach it.
        return [key for full in keys if is_key(key := full[start:])]

    def list_dir(self, prefix: str = "") -> Iterable[str]:
        check_folder(prefix)
        start = len(self.prefix) + len(prefix)
        with self._reaching("list", prefix):
            keys = self._database.names(self._among(prefix), start)
        heads = (key[start:].partition("/") for key in keys)
        return [head + slash for head, slash, _ in heads if is_key(head)]

    def _among(self, prefix: str) -> Keys:
        return starting_with(self.prefix + prefix)

    # ---- writing --------------------------------------------------------------------------------

    def _value(self, key: Key, value: Buffer) -> bytes:
        data = as_bytes(key, value)
        most = self._database.most
        if len(data) > most:
            raise StoreError(
                f"cannot write {key!r} in {self.url}: a value of {len(data)} bytes, and the database takes at most {most}; "
                "use smaller chunks or shards",
                store=self.url,
                key=key,
                found=len(data),
                expected=most,
            )
        return data

    def set(self, key: Key, value: Buffer) -> None:
        self.set_many({key: value})

    def set_many(self, items: Mapping[Key, Buffer]) -> None:
        for key in items:
            check_key(key)
            self._must_write(key)
        rows = [(self.prefix + key, self._value(key, value)) for key, value in items.items()]
        if rows:
            with self._reaching("write", next(iter(items)), len(rows)):
                self._database.write(rows)

    def set_if(self, key: Key, value: Buffer, *, tag: Hashable) -> bool:
        return self.set_many_if({key: (value, tag)})[key]

    def set_many_if(self, items: Mapping[Key, tuple[Buffer, Hashable]]) -> dict[Key, bool]:
        for key in items:
            check_key(key)
            self._must_write(key)
        # A tag that is none of ours is that of no value.
        rows = [
            (key, self._value(key, value), tag)
            for key, (value, tag) in items.items()
            if tag is None or (type(tag) is int and 0 <= tag < 1 << 63)
        ]
        done = dict.fromkeys(items, False)
        if rows:
            with self._reaching("write", rows[0][0], len(rows)):
                answers = self._database.write_if([(self.prefix + key, value, tag) for key, value, tag in rows])
            done.update(zip((key for key, _, _ in rows), answers, strict=True))
        return done

    def delete(self, key: Key) -> None:
        self.delete_many([key])

    def delete_many(self, keys: Iterable[Key]) -> None:
        known = list_(keys)
        for key in known:
            check_key(key)
            self._must_write(key)
        if known:
            with self._reaching("delete", known[0], len(known)):
                self._database.delete([self.prefix + key for key in known])

    def delete_prefix(self, prefix: str) -> None:
        check_prefix(prefix)
        self._must_write(prefix)
        with self._reaching("delete", prefix):
            self._database.delete_all(self._among(prefix))

    def move_prefix(self, old: str, new: str) -> bool:
        for folder in (old, new):
            check_folder(folder)
            self._must_write(folder)
        if not old or not new or new.startswith(old):
            return False
        with self._reaching("move", old):
            return self._database.move(self._among(old), self._among(new))

    # ---- together --------------------------------------------------------------------------------

    def object_id(self, key: Key) -> Hashable:
        with self._reaching("reach", key):
            return self._database.identity, self.table, self.prefix + key

    def lock(self, key: Key) -> AbstractContextManager[Any]:
        """The lock of `key`, other processes shut out; see `SQLite.lock` and `Postgres.lock`."""
        check_key(key)
        if not self.writable:
            return super().lock(key)
        return self._entered(self._database.lock(self.prefix + key), "lock", key)

    def transaction(self) -> AbstractContextManager[Any]:
        """A transaction of the database: see `Store.transaction`. One inside another is a part of it."""
        self._must_write("")
        return self._entered(self._database.transaction(), "begin a transaction at", "")

    @contextmanager
    def _entered(self, inner: AbstractContextManager[Any], tried: str, key: Key) -> Iterator[None]:
        with ExitStack() as stack:
            with self._reaching(tried, key):
                stack.enter_context(inner)
            yield

    def close(self) -> None:
        """Close the connections that nobody uses. The store may be used again afterwards."""
        self._database.close()

    @contextmanager
    def _reaching(self, tried: str, key: Key, count: int = 1) -> Iterator[None]:
        """Turn whatever the database or its client raises into StoreError, without the password."""
        try:
            yield
        except NdzarrError:
            raise
        except self._database.errors as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            for note in getattr(error, "__notes__", ()):
                reason += f" ({note})"
            for secret in self._secrets:
                reason = reason.replace(secret, "***")
            others = f" and {count - 1} others" if count > 1 else ""
            raise StoreError(f"cannot {tried} {key!r}{others} in {self.url}: {reason}", store=self.url, key=key) from error


def _split(url: object) -> tuple[str, dict[str, str]]:
    """A URL as its database is opened by, a relative path made absolute; and what in it is ours."""
    if not isinstance(url, str) or "://" not in url:
        raise ArgumentError("expected a URL, as sqlite:///file.db or postgresql://user@host/database")  # it may hold a password
    base, _, query = url.partition("?")
    scheme, _, rest = base.partition("://")
    own: dict[str, str] = {}
    others = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _OURS:
            own[name] = value
        else:
            others.append((name, value))
    if scheme == "sqlite":
        if others:
            raise ArgumentError(f"cannot open {url!r}: {others[0][0]!r} is none of {', '.join(_OURS)}", found=others[0][0])
        if rest in ("", "/", "/" + _MEMORY):
            return f"sqlite:///{_MEMORY}", own
        if not rest.startswith("/"):
            raise ArgumentError(f"cannot open {url!r}: expected sqlite:///file.db or sqlite:////directory/file.db", found=url)
        return f"sqlite:///{absolute_path(rest[1:])}", own
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return f"postgresql://{rest}" + ("?" + urlencode(others, quote_via=quote) if others else ""), own
    raise ArgumentError(f"no database has the scheme {scheme!r}; there are sqlite and postgresql", found=scheme)


def _seconds(given: object) -> float:
    try:
        seconds = float(given)  # type: ignore[arg-type]  # whatever is no number raises
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0.001 <= seconds <= 1e6:  # 0 would be for ever, to PostgreSQL
        raise ArgumentError(f"timeout is {given!r}, expected seconds, 0.001 to 1,000,000", field="timeout", found=given)
    return seconds


def _sqlite_path(address: str) -> str | None:
    scheme, _, path = address.partition(":///")
    return path if scheme == "sqlite" else None


_userinfo = re.compile("(postgresql://)([^/?:]*)(:[^/?]*)?@").match


def _without_secrets(address: str) -> str:
    """An address as messages may show it."""
    base, _, query = address.partition("?")
    found = _userinfo(base)
    if found:
        base = f"{found[1]}{found[2]}@{base[found.end() :]}"
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _SECRET]
    return base + ("?" + urlencode(kept, quote_via=quote, safe="/") if kept else "")


def _secrets(address: str) -> list[str]:
    """What no message may show, as it is written and as it is meant."""
    base, _, query = address.partition("?")
    found = _userinfo(base)
    written = [found[3][1:]] if found and found[3] else []
    written += [value for name, value in parse_qsl(query) if name in _SECRET]
    return [text for text in {*written, *map(unquote, written)} if text]
