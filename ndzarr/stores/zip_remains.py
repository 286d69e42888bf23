"""What lies in an archive beside its keys, or twice under one name; temporary files of archives in the same directory."""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator

from ndzarr.keys import TEMP_PREFIX
from ndzarr.stores.files import is_leftover
from ndzarr.stores.remains import Remain

_partial = re.compile(r".*\.[0-9a-f]{32}\.partial", re.DOTALL).fullmatch


def remains(fd: int, archive: str, path: str) -> Iterator[Remain]:
    """See `Store.remains`. Only members at or below `path`; files beside the archive count as its own."""
    prefix = path + "/" if path else ""
    if fd >= 0 and os.fstat(fd).st_size:
        with open(archive, "rb") as file, zipfile.ZipFile(file) as parsed:
            names = Counter(member.filename for member in parsed.infolist())
        for name, count in names.items():
            if not name.startswith(prefix):
                continue
            last = name.rpartition("/")[2]
            if last.startswith(TEMP_PREFIX) or _partial(last):
                what = "a temporary file that came along when the archive was made"
                yield Remain("leftover", name, what, "warning", "write the archive anew without it")
            elif count > 1:
                what = f"{count} members have this name; readers take the last, and some tools the first"
                yield Remain("duplicate", name, what, "warning", "write the archive anew with the last of them")
    folder = os.path.dirname(archive)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(TEMP_PREFIX) and entry.is_file(follow_symlinks=False) and is_leftover(entry):
                what = f"a temporary file beside the archive that nobody writes any more ({entry.stat().st_size} bytes)"
                yield Remain("leftover", f"../{entry.name}", what, "warning", "remove it")
