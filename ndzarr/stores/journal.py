"""What a transaction on a directory has recorded: read, put in place, finished or undone when its owner died.

A folder `<root>/.ndzarr/transactions/<id>/` belongs to one transaction, whose owner lives as long as it holds a lock on the
folder. Where there is a file `record` in it, the transaction has happened: staged files are renamed to where they belong, and
what was deleted goes ("rolling forward"), every step of which may be done twice. Where there is none it has not, and the folder
is removed. Whoever comes across a folder whose owner is dead does so.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from collections.abc import Collection
from contextlib import suppress

from ndzarr.errors import StoreError
from ndzarr.keys import OWN, TEMP_PREFIX, is_key
from ndzarr.stores import filelocks, folderlocks
from ndzarr.stores.base import reason
from ndzarr.stores.files import BINARY, read_file, sync_file, sync_folder, write_all
from ndzarr.stores.overlay import Overlay

#: Where the folders of transactions lie, below the root of the store.
FOLDER = os.path.join(OWN, "transactions")
RECORD = "record"
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
#: What the system says of a place that cannot be written to.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
#: The largest record that is read: some 64 bytes and a name for each of many millions of keys.
_MOST_BYTES = 1 << 30


def is_in(path: str, root: str) -> bool:
    """Whether a real path is that directory, or below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


# ---- records --------------------------------------------------------------------------------------------------------


def write_record(folder: str, overlay: Overlay, arrays: list[str]) -> None:
    """Write the record under another name, and put it on the disk."""
    changes = {path: None if staged is None else os.path.basename(staged) for path, staged in overlay.files.items()}
    marked = [overlay.relative(path) for path in arrays if is_in(path, overlay.root)]
    text = json.dumps({"ndzarr_transaction": 1, "changes": changes, "marked": marked}, ensure_ascii=True).encode()
    data = b"%08x\n" % zlib.crc32(text) + text
    fd = os.open(os.path.join(folder, RECORD + ".new"), CREATE, 0o666)
    try:
        write_all(fd, memoryview(data))
        sync_file(fd)
    finally:
        os.close(fd)
    sync_folder(folder)


def read_record(folder: str) -> tuple[dict[str, str | None], list[str]] | None:
    """What a transaction changes, and which files of locks it has marked; None where it was never recorded.

    Raises StoreError for a record that is damaged, or names what no transaction could have written: it may come from anywhere,
    so nothing in it leads out of the root, or out of the folder, by links neither.
    """
    path = os.path.join(folder, RECORD)
    try:
        data = _read_plain(path)
        if data is None:
            return None
        head, _, text = data.partition(b"\n")
        if head != b"%08x" % zlib.crc32(text):
            raise ValueError("its checksum is wrong")
        document = json.loads(text)
        if document["ndzarr_transaction"] != 1:
            raise ValueError(f"it is of version {document['ndzarr_transaction']!r}")
        changes, marked = document["changes"], document["marked"]
        for key, staged in changes.items():
            if not is_key(key) or not (staged is None or (isinstance(staged, str) and _plain(staged))):
                raise ValueError(f"it names {key!r} and {staged!r}")
            if staged is not None and not _is_file_or_gone(os.path.join(folder, staged)):
                raise ValueError(f"{staged!r} is no file")
        for name in marked:
            array = name.removesuffix(filelocks.FILE).removesuffix("/")
            if not name.endswith(filelocks.FILE) or (array and not is_key(array)):
                raise ValueError(f"it names the locks {name!r}")
        root = os.path.realpath(root_of(folder))
        for place in {os.path.dirname(os.path.join(root, name)) for name in (*changes, *marked)}:
            if os.path.realpath(place) != place:
                raise ValueError(f"it names {place!r}, which a symbolic link leads away from")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"the record of a transaction is damaged: {path!r}: {error}; move {folder!r} out of the way to open the directory "
            "as it is",
            store=path,
        ) from error
    return changes, marked


def _read_plain(path: str) -> bytes | None:
    """The bytes of a file, which is no link, no device and not too large; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ValueError("it is a symbolic link") from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MOST_BYTES:
            raise ValueError(f"it is no file of at most {_MOST_BYTES} bytes")
        return read_file(fd, None)
    finally:
        os.close(fd)


def _is_file_or_gone(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return True


def _plain(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")


def root_of(folder: str) -> str:
    """The root of the store that a transaction's folder lies in."""
    return os.path.dirname(os.path.dirname(os.path.dirname(folder)))


def roll_forward(folder: str, held: Collection[str] = ()) -> None:
    """Put a recorded transaction in place, and remove its folder. Every step may be done twice.

    held: the directories that the caller has locked, which may be removed when they are empty.
    """
    found = read_record(folder)
    if found is None:
        return
    changes, marked = found
    root = os.path.realpath(root_of(folder))
    places = {os.path.join(root, key): os.path.join(folder, staged) for key, staged in changes.items() if staged is not None}
    wanted = {os.path.dirname(path) for path in places}
    stay = {root}
    for place in wanted:
        while place not in stay:
            stay.add(place)
            place = os.path.dirname(place)
    touched = set()
    for key, staged in changes.items():
        if staged is None:
            path = os.path.join(root, key)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
            touched.add(os.path.dirname(path))
    # Before anything is put in place, which may be where a folder was; but not those that something is put into, which may be
    # locked.
    for place in sorted(touched, key=len, reverse=True):
        touched.add(_remove_empty_up(place, stay, held))
    # On the disk before anything is renamed into them: else a file might be gone from its old place, and not be in its new one.
    _make_synced(wanted)
    for path, source in places.items():
        while True:
            try:
                os.replace(source, path)
                break
            except FileNotFoundError:
                if not os.path.lexists(source):
                    break  # done before
                _make_synced({os.path.dirname(path)})  # removed just now, being empty
        touched.add(os.path.dirname(path))
    for place in touched:
        with suppress(FileNotFoundError, NotADirectoryError):
            sync_folder(place)
    # The record first, and from the disk too: what is deleted once more would be what a writer has put there who found no mark.
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RECORD))
    sync_folder(folder)
    for name in marked:
        _unmark(os.path.join(root, name))
    remove(folder)


def _unmark(path: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # gone, or no file of locks: whoever takes it for one is told so
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _make_synced(folders: set[str]) -> None:
    """Make directories, those above them too, and put them on the disk."""
    made: list[str] = []
    for folder in folders:
        folderlocks.make_folders(folder, made)
    for place in set(parents(made)):
        with suppress(FileNotFoundError):
            sync_folder(place)


def _remove_empty_up(place: str, stay: Collection[str], held: Collection[str]) -> str:
    """Remove a folder that is empty, and those above that are then; the first that stays."""
    while place not in stay and folderlocks.remove_folder(place, mine=place in held):
        place = os.path.dirname(place)
    return place


def remove(folder: str) -> None:
    """Remove a transaction's folder, the record first, and the folders above it that are empty then.

    Only what a transaction puts there: the folder may be anybody's.
    """
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RECORD))
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(TEMP_PREFIX) or name == RECORD + ".new":
                os.unlink(os.path.join(folder, name))
    transactions = os.path.dirname(folder)
    folderlocks.remove_own(folder, transactions, os.path.dirname(transactions))


# ---- recovery -------------------------------------------------------------------------------------------------------


def settle(folder: str, *, change: bool = True) -> Overlay | None:
    """Finish or undo the transaction of a folder whose owner is dead; one that is recorded by a living owner is waited for.

    An overlay with what it changes where it cannot be finished here: `change` is False, or the place cannot be written to.
    """
    try:
        owner = folderlocks.own(folder, wait=False)
        if owner is None:  # somebody is at it
            if not os.path.lexists(os.path.join(folder, RECORD)):
                return None
            owner = folderlocks.own(folder)
    except FileNotFoundError:
        return None
    try:
        found = read_record(folder)
        if found is None:
            if change:
                with suppress(OSError):
                    remove(folder)
            return None
        if change:
            try:
                roll_forward(folder)
                return None
            except OSError as error:
                if isinstance(error, StoreError) or error.errno not in _READ_ONLY:
                    raise
        overlay = Overlay(os.path.realpath(root_of(folder)), os.path.join(folder, RECORD))
        for key, staged in found[0].items():
            overlay.put(f"{overlay.root}/{key}", None if staged is None else os.path.join(folder, staged))
        return overlay
    finally:
        if owner is not None:
            owner.release()


def settle_above(folder: str, *, change: bool = True, top: str | None = None) -> list[Overlay]:
    """`settle` for all transactions in a folder, a real path, and those above it, up to `top`; the overlays that remain."""
    # Asked for whenever a store is opened, so without `os.path`, which takes as long as the calls of the system.
    overlays: list[Overlay] = []
    access = os.access
    own = f"{folder}/{OWN}"
    if change and access(own, os.F_OK) and not access(f"{own}/locks", os.F_OK):
        folderlocks.remove_own(own)  # left by a kill between the making of two folders
    while True:
        transactions = f"{folder}/{FOLDER}"
        if access(transactions, os.F_OK):
            overlays += _settle_all(transactions, change)
        if folder == top or folder in ("", "/"):
            return overlays
        folder = folder.rpartition("/")[0]


def _settle_all(transactions: str, change: bool) -> list[Overlay]:
    own = os.path.dirname(transactions)
    overlays = []
    try:
        if not _is_ours(own) or not _is_ours(transactions):
            return []
        names = sorted(os.listdir(transactions))
    except OSError:
        return []
    for name in names:
        folder = os.path.join(transactions, name)
        try:
            if _is_ours(folder) and (overlay := settle(folder, change=change)) is not None:
                overlays.append(overlay)
        except StoreError:
            raise
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"cannot finish the transaction in {folder!r}: {reason(error)}", store=folder) from error
    if not names and change:
        folderlocks.remove_own(transactions, own)
    return overlays


def _is_ours(folder: str) -> bool:
    """Whether a folder of transactions may be believed.

    A directory, no link, and not made by somebody else in a place where anybody may make one, as below "/tmp".
    """
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode):
        return False
    if info.st_uid == os.geteuid():
        return True
    root = folder
    while os.path.basename(root) != OWN:
        root = os.path.dirname(root)
    top = os.stat(os.path.dirname(root))
    return info.st_uid == top.st_uid or not top.st_mode & stat.S_IWOTH


def _settle_mark(path: str, record: str) -> None:
    """For whoever finds the mark of a transaction in the file of locks at `path`, and must not go on before it is settled."""
    folder = os.path.dirname(record)
    parts = record.split("/")
    array = path.removesuffix(filelocks.FILE).rstrip("/")
    plain = len(parts) > 4 and parts[-4:-2] == FOLDER.split(os.sep) and parts[-1] == RECORD
    if not plain or ".." in parts or not is_in(array, root_of(folder)):
        raise StoreError(
            f"the file of locks {path!r} is not empty, and holds no mark of a transaction: {record[:100]!r}", store=path
        )
    try:
        above = os.path.dirname(folder)
        trusted = all(map(_is_ours, (os.path.dirname(above), above, folder)))
    except FileNotFoundError:
        return  # settled
    if not trusted or settle(folder) is not None:
        raise StoreError(
            f"a transaction was cut short, and cannot be put in place by this process: {record!r}; nothing may be written to "
            f"{array!r} before it is",
            store=path,
        )


def _settle_for_writer(folder: str) -> None:
    """For whoever has a directory locked, to write."""
    overlays = settle_above(folder)
    if overlays:
        raise StoreError(
            f"a transaction on {overlays[0].root!r} was cut short, and cannot be put in place by this process; nothing may be "
            "written before it is",
            store=overlays[0].root,
        )


filelocks.settle = _settle_mark
folderlocks.settle_above = _settle_for_writer


def parents(folders: list[str]) -> list[str]:
    """Where each of the folders has its entry."""
    return [os.path.dirname(folder) for folder in folders]
