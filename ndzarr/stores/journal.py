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
import shutil
import stat
import zlib
from contextlib import suppress

from ndzarr.errors import StoreError
from ndzarr.keys import OWN, is_key
from ndzarr.stores import filelocks
from ndzarr.stores.files import BINARY, sync_file, sync_folder, write_all
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


def reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


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

    Raises StoreError for a record that is damaged, or names what no transaction could have written.
    """
    path = os.path.join(folder, RECORD)
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    head, _, text = data.partition(b"\n")
    try:
        if len(data) > _MOST_BYTES or head != b"%08x" % zlib.crc32(text):
            raise ValueError("its checksum is wrong")
        document = json.loads(text)
        if document["ndzarr_transaction"] != 1:
            raise ValueError(f"it is of version {document['ndzarr_transaction']!r}")
        changes, marked = document["changes"], document["marked"]
        # It may come from anywhere: nothing in it leads out of the root, or out of the folder.
        for key, staged in changes.items():
            if not is_key(key) or not (
                staged is None or (isinstance(staged, str) and "/" not in staged and staged not in (".", ".."))
            ):
                raise ValueError(f"it names {key!r} and {staged!r}")
        for name in marked:
            array = name.removesuffix(filelocks.FILE).removesuffix("/")
            if not name.endswith(filelocks.FILE) or (array and not is_key(array)):
                raise ValueError(f"it names the locks {name!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"the record of a transaction is damaged: {path!r}: {error}; move {folder!r} out of the way to open the directory "
            "as it is",
            store=path,
        ) from error
    return changes, marked


def _plain(name: str) -> bool:
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")


def root_of(folder: str) -> str:
    """The root of the store that a transaction's folder lies in."""
    return os.path.dirname(os.path.dirname(os.path.dirname(folder)))


def roll_forward(folder: str) -> None:
    """Put a recorded transaction in place, and remove its folder. Every step may be done twice."""
    found = read_record(folder)
    if found is None:
        return
    changes, marked = found
    root = root_of(folder)
    touched = set()
    for key, staged in changes.items():
        if staged is None:
            path = os.path.join(root, key)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
            touched.add(os.path.dirname(path))
    # Before anything is put in place, which may be where a folder was.
    for place in sorted(touched, key=len, reverse=True):
        touched.add(_remove_empty_up(place, root))
    places = {os.path.join(root, key): os.path.join(folder, staged) for key, staged in changes.items() if staged is not None}
    # On the disk before anything is renamed into them: else a file might be gone from its old place, and not be in its new one.
    _make_synced({os.path.dirname(path) for path in places})
    for path, staged in places.items():
        while True:
            try:
                os.replace(staged, path)
                break
            except FileNotFoundError:
                if not os.path.lexists(staged):
                    break  # done before
                _make_synced({os.path.dirname(path)})  # removed just now, being empty
        touched.add(os.path.dirname(path))
    for place in touched:
        with suppress(FileNotFoundError, NotADirectoryError):
            sync_folder(place)
    # Nobody who waits for these locks has them before the folder is gone, or the owner's lock on it.
    for name in marked:
        with suppress(FileNotFoundError):
            os.truncate(os.path.join(root, name), 0)
    remove(folder)


def _make_synced(folders: set[str]) -> None:
    """Make directories, those above them too, and put them on the disk."""
    made: list[str] = []
    for folder in folders:
        filelocks.make_folders(folder, made)
    for place in set(parents(made)):
        with suppress(FileNotFoundError):
            sync_folder(place)


def _remove_empty_up(place: str, root: str) -> str:
    """Remove a folder that is empty, and those above that are then; the first that stays."""
    while len(place) > len(root):
        try:
            os.rmdir(place)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            try:
                if os.listdir(place) != [OWN]:
                    break
                filelocks.remove_files(place)
                os.rmdir(place)
            except OSError:
                break
        place = os.path.dirname(place)
    return place


def remove(folder: str) -> None:
    """Remove a transaction's folder, the record first, and the folders above it that are empty then."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RECORD))
    shutil.rmtree(folder, ignore_errors=True)
    transactions = os.path.dirname(folder)
    filelocks.remove_empty([transactions, os.path.dirname(transactions)])


# ---- recovery -------------------------------------------------------------------------------------------------------


def settle(folder: str, *, change: bool = True) -> Overlay | None:
    """Finish or undo the transaction of a folder whose owner is dead; one that is recorded by a living owner is waited for.

    An overlay with what it changes where it cannot be finished here: `change` is False, or the place cannot be written to.
    """
    try:
        owner = filelocks.own(folder, wait=False)
        if owner is None:  # somebody is at it
            if not os.path.exists(os.path.join(folder, RECORD)):
                return None
            owner = filelocks.own(folder, wait=True)
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
            owner.close()


def settle_above(folder: str, *, change: bool = True, top: str | None = None) -> list[Overlay]:
    """`settle` for all transactions in a folder, a real path, and those above it, up to `top`; the overlays that remain."""
    overlays = []
    own = os.path.join(folder, OWN)
    if change and os.access(own, os.F_OK) and not os.access(os.path.join(own, "locks"), os.F_OK):
        filelocks.remove_empty([own])  # left by a kill between the making of two folders
    while True:
        transactions = os.path.join(folder, FOLDER)
        if os.access(transactions, os.F_OK):
            overlays += _settle_all(transactions, change)
        above = os.path.dirname(folder)
        if above == folder or folder == top:
            return overlays
        folder = above


def _settle_all(transactions: str, change: bool) -> list[Overlay]:
    try:
        names = sorted(os.listdir(transactions))
    except OSError:
        return []
    overlays = []
    for name in names:
        folder = os.path.join(transactions, name)
        try:
            if stat.S_ISDIR(os.lstat(folder).st_mode) and (overlay := settle(folder, change=change)) is not None:
                overlays.append(overlay)
        except StoreError:
            raise
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"cannot finish the transaction in {folder!r}: {reason(error)}", store=folder) from error
    if not names and change:
        filelocks.remove_empty([transactions, os.path.dirname(transactions)])
    return overlays


def _settle_record(record: str) -> None:
    """For whoever finds the mark of a transaction in a file of locks."""
    folder = os.path.dirname(record)
    parts = os.path.relpath(folder, root_of(folder)).split(os.sep)
    if os.path.basename(record) == RECORD and os.path.join(*parts[:-1]) == FOLDER:
        settle(folder)


filelocks.settle = _settle_record
filelocks.settle_above = settle_above


def parents(folders: list[str]) -> list[str]:
    """Where each of the folders has its entry."""
    return [os.path.dirname(folder) for folder in folders]
