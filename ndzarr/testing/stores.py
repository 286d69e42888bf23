"""The store suite: what every store must do, runnable by whoever writes one.

Subclass `StoreSuite` in a test module and give it a fresh, empty store; pytest does the rest:

    class TestMine(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(tmp_path)

A store passes all of it, or is not one (promise P23).
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pytest

from ndzarr._typing import Buffer, ByteRange
from ndzarr.errors import ArgumentError, ReadOnlyError, StoreError
from ndzarr.keys import OWN, TEMP_PREFIX
from ndzarr.stores.base import ABSENT, Store
from ndzarr.stores.fault import FaultStore

__all__ = ["HOSTILE_KEYS", "HOSTILE_PREFIXES", "StoreSuite", "hostile_keys", "prefix_verbs", "verbs"]

_THREADS = 8


def hostile_keys() -> Iterator[str]:
    """More than 500 names that no store may take: each leaves the root, or means something else, in some backend."""
    yield from ("", "/", "//", "///", ".", "..", "./", "../", "a/", "a//", "/a", "//a", "a//b", "a/b/", "/etc/passwd")
    yield from ("../" * n + "canary" for n in range(1, 9))
    yield from ("a/" * n + "../" * (n + 1) + "canary" for n in range(1, 9))
    yield from ("\\\\server\\share", "\\??\\C:\\canary", "..\\canary", "a\\..\\..\\canary", "C:", "C:/", "C:\\canary")
    segments = [".", "..", "\\", "a\\b", "\\..", "..\\", "C:", "c:canary", "Z:", "d:..", "a:"]
    segments += [f"a{chr(c)}b" for c in (*range(0x20), *range(0x7F, 0xA0))]
    segments += ["\x00", "..\x00", "canary\x00.txt", "\n", "a\r\nb", "\x7f"]
    segments += ["\ud800", "a\udfff", "\udc80\udc81"]
    segments += ["x" * 256, "x" * 5000, "\N{EURO SIGN}" * 86, "\N{GRINNING FACE}" * 64]
    segments += [OWN, TEMP_PREFIX, TEMP_PREFIX + "host-1-1", TEMP_PREFIX + "x"]
    for segment in segments:
        yield from (segment, f"a/{segment}", f"{segment}/a", f"a/{segment}/b", f"temp/sst/{segment}/0.0")
        yield f"\N{LATIN SMALL LETTER E WITH ACUTE}/{segment}"


HOSTILE_KEYS = tuple(dict.fromkeys(hostile_keys()))
#: Those that are no prefix either: a prefix may be empty, and may end in one "/".
HOSTILE_PREFIXES = tuple(k for k in HOSTILE_KEYS if k not in ("", "a/", "a/b/"))


def verbs(store: Store) -> dict[str, Callable[[str], Any]]:
    """Each method of `store` that takes a key, as a function of the key."""
    return {
        "get": store.get,
        "get range": lambda key: store.get(key, ByteRange(0, 1)),
        "get_tagged": store.get_tagged,
        "tag": store.tag,
        "get_many": lambda key: store.get_many([(key, None)]),
        "get_many_tagged": lambda key: store.get_many_tagged([(key, None)]),
        "get_each": lambda key: list(store.get_each([(key, None)])),
        "set": lambda key: store.set(key, b"hostile"),
        "set_if": lambda key: store.set_if(key, b"hostile", tag=None),
        "set_many": lambda key: store.set_many({key: b"hostile"}),
        "set_many_if": lambda key: store.set_many_if({key: (b"hostile", None)}),
        "delete": store.delete,
        "delete_many": lambda key: store.delete_many([key]),
        "set_aside": lambda key: store.set_aside(key, ""),
        "size": store.size,
        "exists": store.exists,
    }


def prefix_verbs(store: Store) -> dict[str, Callable[[str], Any]]:
    """Each method of `store` that takes a prefix, as a function of the prefix."""
    return {
        "list": lambda prefix: list(store.list(prefix)),
        "list_dir": lambda prefix: list(store.list_dir(prefix)),
        "delete_prefix": store.delete_prefix,
    }


def _bytes(value: Buffer | None) -> bytes | None:
    return None if value is None else memoryview(value).tobytes()


def _in_threads(work: Callable[[int], None], n: int = _THREADS) -> None:
    """Run `work(0)` ... `work(n - 1)` at the same time; raise what one of them raises."""
    start = threading.Barrier(n)

    def run(number: int) -> None:
        start.wait()
        work(number)

    with ThreadPoolExecutor(n) as pool:
        for future in [pool.submit(run, number) for number in range(n)]:
            future.result()


class StoreSuite:
    """Subclass it and give it the fixture `store`, a fresh and empty store for each test."""

    #: False for a store that refuses to be pickled.
    pickles: ClassVar[bool] = True

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, empty. Override it."""
        raise NotImplementedError("a StoreSuite needs the fixture `store`")

    def reopen(self, store: Store) -> Store:
        """Another handle on what `store` holds, `store` being done with. By default the same one, closed."""
        store.close()
        return store

    def reopen_for_reading(self, store: Store) -> Store | None:
        """A read-only handle on what `store` holds; None when there is no such thing."""
        return None

    # ---- one value --------------------------------------------------------------------------------

    def test_a_new_store_is_empty(self, store: Store) -> None:
        assert list(store.list()) == []
        assert list(store.list_dir()) == []
        assert store.get("a") is None

    def test_what_is_set_is_read_back(self, store: Store) -> None:
        value = bytes(range(256)) * 17
        for key in ("a", "b/c", "b/d/0.0", ".zarray", "x" * 255, "\N{GREEK SMALL LETTER ALPHA}/ b%20.c"):
            store.set(key, value + key.encode())
            assert _bytes(store.get(key)) == value + key.encode()
            assert store.size(key) == len(value) + len(key.encode())
            assert store.exists(key) is True

    def test_setting_again_replaces(self, store: Store) -> None:
        for value in (b"a longer first value", b"short", b"", b"again"):
            store.set("d/key", value)
            assert _bytes(store.get("d/key")) == value
        assert list(store.list()) == ["d/key"]

    def test_it_is_still_there_when_reopened(self, store: Store) -> None:
        store.set("a/b", b"1")
        store.set("gone", b"2")
        store.delete("gone")
        again = self.reopen(store)
        assert _bytes(again.get("a/b")) == b"1"
        assert sorted(again.list()) == ["a/b"]
        again.close()

    def test_missing_is_none_and_nothing_else(self, store: Store) -> None:
        store.set("here", b"")
        assert _bytes(store.get("here")) == b""  # empty is not missing
        assert store.size("here") == 0
        assert store.exists("here")
        for key in ("there", "her", "here2", "there/0", "here/0"):
            assert store.get(key) is None
            assert store.get(key, ByteRange(0, 10)) is None
            assert store.get(key, ByteRange(-1)) is None
            assert store.get_tagged(key) is None
            assert store.size(key) is None
            assert store.exists(key) is False

    @pytest.mark.parametrize("nbytes", [0, 1, 1000, 3 << 20])
    def test_ranges_are_slices(self, store: Store, nbytes: int) -> None:
        value = np.random.default_rng(nbytes).bytes(nbytes)
        store.set("d/key", value)
        for start in (0, 1, 7, nbytes // 2, nbytes - 1, nbytes, nbytes + 5):
            for stop in (None, 0, 1, 8, nbytes // 2, nbytes - 1, nbytes, nbytes + 1, nbytes + 100, 1 << 40):
                if start >= 0 and (stop is None or stop >= 0):
                    assert _bytes(store.get("d/key", ByteRange(start, stop))) == value[start:stop], (start, stop)
        for n in (1, 2, nbytes // 2, nbytes, nbytes + 1, nbytes + 100):
            if n:
                assert _bytes(store.get("d/key", ByteRange(-n))) == value[-n:], -n

    @pytest.mark.parametrize(
        "value",
        [
            b"bytes",
            bytearray(b"bytearray"),
            memoryview(b"memoryview")[2:7],
            np.arange(6, dtype="<f8").reshape(2, 3).data,
            memoryview(b"every second")[::2],
            np.arange(12, dtype="<i4").reshape(3, 4),
            np.array(5, "<i8"),
            np.arange(3, dtype=">u2"),
            np.array(["2001-01-01", "NaT"], "<M8[D]"),
            np.zeros((0, 3)),
            np.array([(1, 2.5)], [("a", "<i2"), ("b", "<f8")]),
        ],
        ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', None) or getattr(value, 'format', 'B')}",
    )
    def test_any_buffer_is_a_value(self, store: Store, value: Any) -> None:
        want = value.tobytes() if isinstance(value, (np.ndarray, memoryview)) else bytes(value)
        store.set("key", value)
        assert _bytes(store.get("key")) == want

    @pytest.mark.parametrize("value", ["text", 5, None, [1, 2], np.array([None, "a"], object)], ids=type)
    def test_what_is_no_buffer_is_refused(self, store: Store, value: Any) -> None:
        store.set("key", b"old")
        with pytest.raises((ArgumentError, TypeError)):
            store.set("key", value)
        assert _bytes(store.get("key")) == b"old"

    def test_values_are_snapshots(self, store: Store) -> None:
        given = bytearray(b"first value")
        store.set("key", given)
        given[:] = b"overwritten"
        whole, part, tagged = store.get("key"), store.get("key", ByteRange(0, 5)), store.get_tagged("key")
        store.set("key", b"second valu")
        store.delete("key")
        assert _bytes(whole) == b"first value"
        assert _bytes(part) == b"first"
        assert tagged is not None
        assert _bytes(tagged[0]) == b"first value"

    def test_delete_may_be_repeated(self, store: Store) -> None:
        store.set("a/b", b"1")
        store.set("a/c", b"2")
        for _ in range(2):
            store.delete("a/b")
            assert store.get("a/b") is None
        store.delete("never")
        store.delete("never/was")
        assert list(store.list()) == ["a/c"]
        store.set("a/b", b"3")
        assert _bytes(store.get("a/b")) == b"3"

    # ---- many --------------------------------------------------------------------------------

    #: Names that a careless prefix test would confuse.
    TRICKY = (
        "a/b",
        "a/c/d",
        "a/c/e",
        "a/.zarray",
        "ab",
        "a.b",
        "a-/x",
        "ab/b",
        "b",
        "a b/c",
        "\N{LATIN SMALL LETTER SHARP S}/0",
    )

    def _fill(self, store: Store) -> list[str]:
        # A directory cannot stand beside a file of its name, so "ab" goes where "ab/b" is.
        keys = [k for k in self.TRICKY if k != "ab"]
        for key in keys:
            store.set(key, key.encode())
        return keys

    def test_list_gives_the_keys_with_a_prefix(self, store: Store) -> None:
        keys = self._fill(store)
        prefixes = [
            "",
            "a",
            "a/",
            "a/b",
            "a/c",
            "a/c/",
            "a/.",
            "ab",
            "ab/",
            "b",
            "b/",
            "none",
            "a/none/",
            "a/b/",
            "a b",
        ]
        for prefix in [p for p in prefixes if p != "a/."]:
            assert sorted(store.list(prefix)) == sorted(k for k in keys if k.startswith(prefix)), prefix
        assert sorted(store.list("a/.z")) == ["a/.zarray"]

    def test_list_dir_gives_the_names_in_a_folder(self, store: Store) -> None:
        self._fill(store)
        top = {"a/", "ab/", "a.b", "a-/", "b", "a b/", "\N{LATIN SMALL LETTER SHARP S}/"}
        wanted = {"": top, "a/": {"b", "c/", ".zarray"}, "a/c/": {"d", "e"}, "b/": set(), "no/": set(), "a/b/": set()}
        for prefix, want in wanted.items():
            names = list(store.list_dir(prefix))
            assert len(names) == len(set(names))
            assert set(names) == want, prefix

    @pytest.mark.parametrize("prefix", ["a/", "a", "a/c", "a/b", "ab", "none", "none/", ""])
    def test_delete_prefix(self, store: Store, prefix: str) -> None:
        keys = self._fill(store)
        store.delete_prefix(prefix)
        assert sorted(store.list()) == sorted(k for k in keys if not k.startswith(prefix))
        store.delete_prefix(prefix)
        store.set("a/c/d", b"again")
        assert _bytes(store.get("a/c/d")) == b"again"

    def test_many_at_once(self, store: Store) -> None:
        store.set_many({f"d/{n}": b"%d" % n * 10 for n in range(20)})
        requests = [
            ("d/3", None),
            ("none", None),
            ("d/3", ByteRange(0, 2)),
            ("d/19", ByteRange(-3)),
            ("d/0", ByteRange(2)),
        ]
        found = [_bytes(value) for value in store.get_many(iter(requests))]
        assert found == [b"3" * 10, None, b"33", b"919", b"0" * 8]
        assert list(store.get_many([])) == []
        store.delete_many(iter(["d/1", "none", "d/1", "d/2"]))
        assert sorted(store.list()) == sorted(f"d/{n}" for n in range(20) if n not in (1, 2))

    def test_each_comes_once(self, store: Store) -> None:
        store.set_many({f"d/{n}": b"%d" % n * 10 for n in range(12)})
        requests = [*((f"d/{n}", None) for n in range(12)), ("none", None), ("d/3", ByteRange(0, 2)), ("d/3", ByteRange(-3))]
        found = [(number, _bytes(value)) for number, value in store.get_each(iter(requests))]
        assert len(found) == len(requests)
        assert dict(found) == {**{n: b"%d" % n * 10 for n in range(12)}, 12: None, 13: b"33", 14: b"333"}
        assert list(store.get_each([])) == []
        number, value = next(answers := iter(store.get_each(requests)))
        answers.close()  # type: ignore[attr-defined]  # the rest is given up; a generator has it
        assert _bytes(value) == dict(found)[number]
        assert _bytes(store.get("d/0")) == b"0" * 10

    def test_ranges_of_one_key_come_together(self, store: Store) -> None:
        value = np.random.default_rng(5).bytes(3 << 20)
        store.set("d/key", value)
        ranges: list[tuple[int, int | None]] = [
            (0, 10),
            (5, 100),
            (2000, 2001),
            (1 << 20, (1 << 20) + 7),
            (17, 17),
            (len(value) - 3, 1 << 40),
        ]
        ranges += [(len(value) + 9, len(value) + 99), (0, 10), (2 << 20, None), (-4, None)]
        found = store.get_many([("d/key", ByteRange(*range)) for range in ranges] + [("none", ByteRange(0, 5))])
        assert [_bytes(one) for one in found] == [*(value[start:stop] for start, stop in ranges), None]

    # ---- tags, conditions, locks --------------------------------------------------------------------------------

    def test_tags_follow_the_value(self, store: Store) -> None:
        seen = []
        for n in range(200):  # of one length, and quickly
            store.set("d/key", b"%08d" % n)
            found = store.get_tagged("d/key")
            assert found is not None
            assert _bytes(found[0]) == b"%08d" % n
            again = store.get_tagged("d/key")
            assert again is not None
            assert again[1] == found[1] == store.tag("d/key")
            seen.append(found[1])
        assert len(set(seen)) == 200
        store.delete("d/key")
        assert store.get_tagged("d/key") is None
        assert store.tag("d/key") is None

    def test_evidence_follows_the_value(self, store: Store) -> None:
        seen = []
        for n in range(2):
            store.set("d/key", b"%d" % n)
            time.sleep(store.evidence_after_s or 0)
            seen += store.evidence(["d/key"])
        assert None in seen or seen[0] != seen[1]
        assert ABSENT not in seen
        assert store.evidence(["d/none"])[0] in (None, ABSENT)

    def test_set_if(self, store: Store) -> None:
        assert store.set_if("d/key", b"1", tag=None) is True
        assert store.set_if("d/key", b"2", tag=None) is False
        found = store.get_tagged("d/key")
        assert found is not None
        assert _bytes(found[0]) == b"1"
        assert store.set_if("d/key", b"3", tag=found[1]) is True
        assert store.set_if("d/key", b"4", tag=found[1]) is False
        assert _bytes(store.get("d/key")) == b"3"
        assert store.set_if("other", b"5", tag=found[1]) is False
        assert store.get("other") is None

    def test_many_with_tags(self, store: Store) -> None:
        store.set_many({f"d/{n}": b"%d" % n * 10 for n in range(5)})
        found = store.get_many_tagged([("d/1", None), ("none", None), ("d/2", ByteRange(0, 2)), ("d/1", ByteRange(3, 5))])
        assert [one and _bytes(one[0]) for one in found] == [b"1" * 10, None, b"22", b"11"]
        tags = [one and one[1] for one in found]
        assert tags[0] == tags[3] != tags[2]
        alone = [store.get_tagged("d/1"), store.get_tagged("d/2", ByteRange(5, 6))]
        assert [one and one[1] for one in alone] == [tags[0], tags[2]]
        assert list(store.get_many_tagged([])) == []

    def test_set_many_if(self, store: Store) -> None:
        assert store.set_many_if({"d/a": (b"1", None), "d/b": (b"2", None)}) == {"d/a": True, "d/b": True}
        found = store.get_many_tagged([("d/a", None), ("d/b", None)])
        tags = [one and one[1] for one in found]
        store.set("d/b", b"another's")
        done = store.set_many_if({"d/a": (b"3", tags[0]), "d/b": (b"4", tags[1]), "d/c": (b"5", None), "d/d": (b"6", tags[0])})
        assert done == {"d/a": True, "d/b": False, "d/c": True, "d/d": False}
        assert [_bytes(one) for one in store.get_many([("d/a", None), ("d/b", None), ("d/c", None), ("d/d", None)])] == [
            b"3",
            b"another's",
            b"5",
            None,
        ]
        assert store.set_many_if({}) == {}

    def test_set_if_lets_one_thread_win(self, store: Store) -> None:
        store.set("count", b"0")

        def work(number: int) -> None:
            for _ in range(10):
                while True:
                    found = store.get_tagged("count")
                    assert found is not None
                    if store.set_if("count", b"%d" % (int(bytes(found[0])) + 1), tag=found[1]):
                        break

        _in_threads(work)
        assert _bytes(store.get("count")) == b"%d" % (10 * _THREADS)

    def test_the_lock_keeps_threads_apart(self, store: Store) -> None:
        store.set("count", b"0")

        def work(number: int) -> None:
            for _ in range(25):
                with store.lock("count"), store.lock("count"):  # re-entrant
                    store.set("count", b"%d" % (int(bytes(store.get("count") or b"")) + 1))

        _in_threads(work)
        assert _bytes(store.get("count")) == b"%d" % (25 * _THREADS)

    def test_what_is_set_aside_is_kept_and_is_no_data(self, store: Store) -> None:
        for key, keep in (("a/c/0", False), ("a/c/1", True), ("a/c/0", False)):
            store.set(key, b"damaged")
            with store.lock(key):
                place = store.set_aside(key, "a", keep=keep)
            assert place not in ("", key)
            assert store.exists(key) is keep
        assert "a/c/0" not in list(store.list())
        assert store.set_aside("a/never", "a") == ""
        # By whichever name it is kept, it is no chunk and no document.
        assert [name for name in store.list() if not name.endswith(("c/1", ".suspect", ".suspect1"))] == []
        assert [remain.level for remain in store.remains() if remain.level != "note" and remain.kind != "folder"] == []

    def test_object_id_tells_keys_apart(self, store: Store) -> None:
        assert store.object_id("a/b") == store.object_id("a/b")
        assert store.object_id("a/b") != store.object_id("a/c")
        hash(store.object_id("a/b"))

    def test_a_transaction_is_kept_or_undone(self, store: Store) -> None:
        if not store.transactional:
            with pytest.raises(ArgumentError), store.transaction():
                pass
            return
        store.set_many({"kept": b"1", "gone": b"2"})

        def undone() -> None:
            with store.transaction():
                store.set("kept", b"3")
                store.delete("gone")
                with store.lock("new"):
                    store.set("new", b"4")
                assert _bytes(store.get("kept")) == b"3"
                assert sorted(store.list()) == ["kept", "new"]
                raise KeyError

        with pytest.raises(KeyError):
            undone()
        assert sorted(store.list()) == ["gone", "kept"]
        assert [_bytes(value) for value in store.get_many([("kept", None), ("gone", None)])] == [b"1", b"2"]
        with store.transaction():
            store.set("kept", b"5")
            with store.transaction():
                store.delete_prefix("go")
        assert sorted(store.list()) == ["kept"]
        assert _bytes(store.get("kept")) == b"5"

    # ---- threads --------------------------------------------------------------------------------

    def test_readers_see_whole_values(self, store: Store) -> None:
        nbytes = 1 << 16
        store.set("d/key", bytes(nbytes))

        def work(number: int) -> None:
            for n in range(40):
                if number % 4 == 0:
                    store.set("d/key", bytes([(number + n) % 256]) * (nbytes + number * 100 + n))
                else:
                    value = _bytes(store.get("d/key"))
                    assert value is not None
                    assert value == value[:1] * len(value)
                    assert len(value) >= nbytes

        _in_threads(work)

    def test_threads_may_set_and_delete_side_by_side(self, store: Store) -> None:
        def work(number: int) -> None:
            for n in range(15):
                store.set(f"d/{number}/{n}", b"%d" % n)
                store.set("d/same", b"%03d" % number * 100)
                store.set(f"e/f/{number}", b"x")
                store.delete(f"e/f/{number}")  # the last to leave a folder may remove it while another writes there

        _in_threads(work)
        assert sorted(store.list()) == sorted(["d/same", *(f"d/{t}/{n}" for t in range(_THREADS) for n in range(15))])
        same = _bytes(store.get("d/same"))
        assert same in [b"%03d" % number * 100 for number in range(_THREADS)]

    # ---- names --------------------------------------------------------------------------------

    def test_hostile_keys_are_refused(self, store: Store, record_property: Callable[[str, object], None]) -> None:
        store.set("a/b", b"1")
        for name, verb in verbs(store).items():
            for key in HOSTILE_KEYS:
                with pytest.raises(ArgumentError) as caught:
                    verb(key)
                assert repr(key) in str(caught.value), (name, key)
        for verb in prefix_verbs(store).values():
            for prefix in HOSTILE_PREFIXES:
                with pytest.raises(ArgumentError):
                    verb(prefix)
        assert sorted(store.list()) == ["a/b"]
        assert _bytes(store.get("a/b")) == b"1"
        calls = len(verbs(store)) * len(HOSTILE_KEYS) + len(prefix_verbs(store)) * len(HOSTILE_PREFIXES)
        record_property("count: hostile keys refused, of each store by each method", calls)
        record_property("count: kinds of stores that were given hostile keys", 1)

    @pytest.mark.parametrize("key", [None, 0, b"a", ("a",), np.str_("../a")])
    def test_keys_are_str(self, store: Store, key: Any) -> None:
        for verb in verbs(store).values():
            with pytest.raises(ArgumentError):
                verb(key)

    def test_list_dir_wants_a_folder(self, store: Store) -> None:
        with pytest.raises(ArgumentError):
            list(store.list_dir("a"))

    # ---- handles --------------------------------------------------------------------------------

    def test_it_says_what_it_is(self, store: Store) -> None:
        assert store.url in repr(store)
        flags = (store.writable, store.conditional, store.tagged, store.batched, store.exclusive)
        assert all(isinstance(flag, bool) for flag in flags)

    def test_closing_twice_is_no_error(self, store: Store) -> None:
        with store as entered:
            assert entered is store
            store.set("a", b"1")
        store.close()
        store.close()

    def test_pickling(self, store: Store) -> None:
        store.set("a/b", b"1")
        if not self.pickles:
            with pytest.raises((TypeError, pickle.PicklingError, ArgumentError)):
                pickle.dumps(store)
            return
        again = pickle.loads(pickle.dumps(store))
        assert type(again) is type(store)
        assert _bytes(again.get("a/b")) == b"1"
        assert list(again.list()) == ["a/b"]
        with again.lock("a/b"):
            pass
        again.close()

    def test_a_read_only_handle_refuses_writes(self, store: Store) -> None:
        store.set("a/b", b"1")
        reader = self.reopen_for_reading(store)
        if reader is None:
            assert store.writable
            return
        assert not reader.writable
        for change in (
            lambda: reader.set("a/b", b"2"),
            lambda: reader.set("new", b"2"),
            lambda: reader.set_if("new", b"2", tag=None),
            lambda: reader.set_many({"new": b"2"}),
            lambda: reader.set_many_if({"new": (b"2", None)}),
            lambda: reader.delete("a/b"),
            lambda: reader.delete_many(["a/b"]),
            lambda: reader.delete_prefix("a/"),
        ):
            with pytest.raises(ReadOnlyError):
                change()
        assert _bytes(reader.get("a/b")) == b"1"
        assert list(reader.list()) == ["a/b"]
        reader.close()

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_a_failed_set_leaves_the_old_value(self, store: Store, n: int) -> None:
        keys = ["d/0", "d/1", "d/2"]
        for key in keys:
            store.set(key, b"old")
        broken = FaultStore(store, at=n, on="set")
        for key in keys[: n - 1]:  # not `set_many`, which is one call of a store that is batched
            broken.set(key, b"new")
        with pytest.raises(StoreError, match="injected"):
            broken.set(keys[n - 1], b"new")
        assert [_bytes(store.get(key)) for key in keys] == [b"new"] * (n - 1) + [b"old"] * (4 - n)
