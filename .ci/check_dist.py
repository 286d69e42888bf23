"""`check_dist.py DIRECTORY`: fail unless the wheel and the sdist in DIRECTORY hold the package, all of it, and nothing else."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path


def main(directory: str) -> None:
    package = {path.as_posix() for path in Path("ndzarr").rglob("*") if path.suffix == ".py" or path.name == "py.typed"}
    (wheel,) = Path(directory).glob("*.whl")
    (sdist,) = Path(directory).glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        in_sdist = {member.name.partition("/")[2] for member in archive if member.isfile()}
    beside = {"PKG-INFO", "README.md", "LICENSE", "pyproject.toml", ".gitignore"}
    for what, found, expected in ((wheel, in_wheel, package), (sdist, in_sdist - beside, package)):
        if found != expected:
            sys.exit(f"{what.name}: missing {sorted(expected - found)}, not wanted {sorted(found - expected)}")
    print(f"{wheel.name} and {sdist.name}: {len(package)} files of the package each")


if __name__ == "__main__":
    main(*sys.argv[1:])
