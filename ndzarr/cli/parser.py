"""What each command is called, what it takes, and which function does it. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from ndzarr.cli import arguments

#: What `--help` begins with; commands that belong together follow each other.
_DESCRIPTION = "Chunked, compressed N-dimensional arrays in the Zarr formats."
_EPILOG = (
    "STORE is a directory, a zip archive or any URL (s3://, gs://, https://, sqlite://, ...); NODE is the path of an array or "
    "group inside it, by default the root. `ndzarr COMMAND --help` says more of each."
)
#: How many seconds of each `bench` measures by default.
_BENCH_S = 2.0


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one line, and takes options anywhere: `info STORE --json NODE` too."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        # What is a value and no option, though it begins with "-": "-1.5e3", "-inf" and "-2:" too.
        self._negative_number_matcher = re.compile(r"-(\.?\d|inf)", re.IGNORECASE)
        self._within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Those of a command may be in any order; by itself argparse takes no NODE that an option keeps from its STORE."""
        if self._within or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._within = True  # before Python 3.12 the other method calls this one
        try:
            found, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        usage = " ".join(self.format_usage().split())
        self.exit(2, f"{self.prog}: {message}; {usage}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from difflib import get_close_matches

            known = [str(choice) for choice in action.choices]
            near = get_close_matches(str(value), known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            raise argparse.ArgumentError(action, f"no {value!r}: {meant}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version  # takes as long as all else here

        try:
            found = version("ndzarr")
        except PackageNotFoundError:  # run from a source tree that was never installed
            found = "(not installed)"
        print(f"ndzarr {found}")
        parser.exit(0)


class Commands:
    """The parser while commands are added to it."""

    def __init__(self) -> None:
        self.parser = Parser(prog="ndzarr", description=_DESCRIPTION, epilog=_EPILOG)
        self.parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is, and end")
        self._commands = self.parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def add(self, name: str, run: str, help: str, *, more: str = "", trouble: int = 1, quiet: bool = False) -> Parser:
        """A command that takes `--json` and `--color`. run: "module:function". trouble: the status of an error."""
        command = self._commands.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}. {more}".strip())
        command.add_argument("--json", action="store_true", help="print one JSON document")
        command.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: on a terminal")
        if quiet:
            command.add_argument("-q", "--quiet", action="store_true", help="show no bar")
        command.set_defaults(run=run, command=name, trouble=trouble)
        return command


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    commands = Commands()
    for add in (_looking, _printing, _making, _moving, _knowing, _library):
        add(commands)
    return commands.parser


def _store(command: argparse.ArgumentParser, *, node: bool = True) -> None:
    command.add_argument("store", metavar="STORE", help="a directory, a zip archive or a URL")
    if node:
        command.add_argument("node", metavar="NODE", nargs="?", default="", help="the path of a node in it; default: the root")
    _option(command)


def _option(command: argparse.ArgumentParser, flags: tuple[str, ...] = ("-o", "--option"), what: str = "STORE") -> None:
    command.add_argument(
        *flags, metavar="NAME=VALUE", type=arguments.pair, action="append", default=[],
        help=f"an option of {what}, such as anon=true for a public bucket; may be repeated",
    )  # fmt: skip


def _two(command: argparse.ArgumentParser) -> None:
    command.add_argument("store", metavar="SRC", help="a directory, a zip archive or a URL")
    command.add_argument("target", metavar="DST", help="likewise; made where there is none")
    command.add_argument("--node", metavar="NODE", default="", help="the path of a node in SRC; default: the root")
    command.add_argument("--to", metavar="NODE", default="", help="its path in DST; default: the root")
    _option(command, what="SRC")
    _option(command, ("--target-option",), what="DST")


def _looking(commands: Commands) -> None:
    command = commands.add("info", "looking:info", "what an array or group is and how it is stored")
    _store(command)
    command.add_argument("--no-list", action="store_true", help="say nothing of what is stored, which takes a listing")

    command = commands.add("tree", "looking:tree", "the groups and arrays under a group")
    _store(command)
    command.add_argument("-L", "--depth", metavar="N", type=arguments.count, help="go down so many levels")

    command = commands.add("ls", "looking:ls", "the members of a group, one a line: path, shape, dtype, chunks")
    _store(command)
    command.add_argument("-r", "--recursive", action="store_true", help="those of its groups too")
    command.add_argument("-l", "--long", action="store_true", help="shards, codecs and stored bytes too, which takes a listing")


def _printing(commands: Commands) -> None:
    command = commands.add("head", "printing:head", "the first values of an array; reads no more than it prints")
    _store(command)
    command.add_argument("-n", "--rows", metavar="N", type=arguments.count, default=10, help="rows; default: 10")
    command.add_argument("-c", "--columns", metavar="N", type=arguments.count, default=10, help="columns; default: 10")
    command.add_argument("--npy", action="store_true", help="write them to standard output as an .npy file")

    more = "Goes through the array in bounded memory, and reads no more than it prints."
    command = commands.add("dump", "printing:dump", "the header and the values of an array, or of all below a group", more=more)
    _store(command)
    command.add_argument("-i", "--index", metavar="INDEX", type=arguments.index, default=..., help="such as '[10:20, ::2]'")
    command.add_argument("-H", "--header", action="store_true", help="the header alone, as ncdump -h")
    command.add_argument("--npy", action="store_true", help="write the values to standard output as an .npy file")

    command = commands.add("explain", "printing:explain", "what a read would fetch and decode, found without reading a chunk")
    command.add_argument("store", metavar="STORE", help="a directory, a zip archive or a URL")
    command.add_argument("node", metavar="NODE", nargs="?", default="", help="the path of an array in it; default: the root")
    command.add_argument("index", metavar="INDEX", nargs="?", help="such as '[10:20, ::2]'; default: all of it")
    _option(command)
    command.add_argument("-f", "--function", metavar="NAME", help="a reduction of NumPy's in place of an index, such as mean")
    command.add_argument("--axis", metavar="N", type=int, help="the axis of the reduction")


def _making(commands: Commands) -> None:
    more = "Without --group and --data an array is made that reads as its fill value everywhere."
    command = commands.add("create", "making:create", "make an array or a group", more=more, quiet=True)
    _store(command)
    command.add_argument("--group", action="store_true", help="make a group")
    command.add_argument("--data", metavar="FILE", help="an .npy file with the values, - for standard input")
    command.add_argument("--shape", metavar="N,N", type=arguments.shape, help="such as 1000,2000")
    command.add_argument("--dtype", metavar="DTYPE", help="such as f4, int16, datetime64[ns]; default: that of the data, or f8")
    _storage(command)
    command.add_argument("--dimension-names", metavar="NAME,NAME", type=arguments.names, help="such as time,lat,lon")
    command.add_argument(
        "-a", "--attribute", metavar="NAME=VALUE", type=arguments.pair, action="append", default=[],
        help="an attribute, its value as JSON where it is; may be repeated",
    )  # fmt: skip
    command.add_argument("--zarr-format", type=int, choices=(2, 3), help="default: that of the group above, or 3")
    command.add_argument("--overwrite", action="store_true", help="replace what is there, with all that it holds")

    more = "The shape is written last; values come in pieces, so that a long stream needs little memory."
    command = commands.add("append", "making:append", "add values at the end of an axis of an array", more=more, quiet=True)
    _store(command)
    command.add_argument("--data", metavar="FILE", default="-", help="an .npy file; default: standard input")
    command.add_argument("--axis", metavar="N", type=int, default=0, help="default: 0")


def _storage(command: argparse.ArgumentParser) -> None:
    """How an array is stored; what is not given is not in the namespace."""
    unset = argparse.SUPPRESS
    add: Callable[..., Any] = command.add_argument
    add("--chunks", metavar="N,N", type=arguments.lengths, default=unset, help="lengths of chunks, such as 100,200; 4MiB, auto")
    add("--shards", metavar="N,N", type=arguments.optional_lengths, default=unset, help="lengths of shards; 64MiB, auto, none")
    add("--access", choices=("maps", "series", "balanced"), default=unset, help="what automatic chunks are to be good for")
    add("--compressor", metavar="CODEC", type=arguments.codec, default=unset, help='a name, JSON such as {"id": ...}, none')
    add("--filters", metavar="JSON", type=arguments.codec, default=unset, help="a name or JSON of codecs applied before it")
    add("--fill-value", metavar="VALUE", type=arguments.value, default=unset, help="what chunks never written read as")
    add("--order", choices=("C", "F"), default=unset, help="of the elements in a chunk")
    add("--checksum", action="store_true", default=unset, help="have damage to a chunk noticed")


def _moving(commands: Commands) -> None:
    for name, help in (
        ("copy", "copy an array, or a group with all that it holds, as the bytes that it is"),
        ("move", "copy, and then delete what was copied"),
    ):
        command = commands.add(name, "moving:transfer", help, quiet=True)
        _two(command)
        command.add_argument(
            "--if-exists",
            choices=("raise", "skip", "replace"),
            default="raise",
            help="what to do where something is; default: raise",
        )
        command.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    command = commands.add(
        "convert",
        "moving:convert",
        "write an array or group in another format, or with other chunks, shards or codecs",
        quiet=True,
    )
    _two(command)
    command.add_argument("--zarr-format", type=int, choices=(2, 3), help="default: that of SRC")
    _storage(command)
    command.add_argument("--overwrite", action="store_true", help="replace what is there, with all that it holds")

    more = "After a kill the same command goes on where it was."
    command = commands.add(
        "rechunk", "moving:rechunk", "write an array with other chunks, within bounded memory", more=more, quiet=True
    )
    _two(command)
    _storage(command)
    command.add_argument("--max-mem", metavar="SIZE", default="256MiB", help="what arrays may take; default: 256MiB")
    command.add_argument("--temp", metavar="STORE", help="where what is in between lies; default: beside DST")
    command.add_argument("--zarr-format", type=int, choices=(2, 3), help="default: that of SRC")
    command.add_argument("--overwrite", action="store_true", help="replace what is there, and begin from the start")

    more = "Without a bound nothing is lost, and the smallest lossless chain of codecs is found."
    command = commands.add("compress", "moving:compress", "write an array as small as a bound allows", more=more, quiet=True)
    _two(command)
    command.add_argument("--max-abs", metavar="X", type=float, help="the largest error allowed")
    command.add_argument("--max-rel", metavar="X", type=float, help="the largest error allowed, relative to each value")
    command.add_argument("--keep-bits", metavar="N", type=arguments.bits, help="so many bits of the mantissa, or auto")
    command.add_argument("--overwrite", action="store_true", help="replace what is there")

    command = commands.add(
        "consolidate", "moving:consolidate", "gather the metadata of all nodes under a group in one document", quiet=True
    )
    _store(command)


def _knowing(commands: Commands) -> None:
    more = "NaN and NaT are counted and left out. One pass in bounded memory."
    command = commands.add(
        "stats", "statistics:stats", "the range, mean and spread of an array's values", more=more, quiet=True
    )
    _store(command)
    command.add_argument("-i", "--index", metavar="INDEX", type=arguments.index, default=..., help="such as '[10:20, ::2]'")
    command.add_argument(
        "--collect",
        action="store_true",
        help="keep what each chunk holds beside the array, so that np.max and its like skip chunks",
    )

    more = "As diff(1): 0 where they are the same, 1 where they differ, 2 where that could not be found out."
    command = commands.add(
        "diff", "comparing:diff", "what differs between two arrays or groups", more=more, trouble=2, quiet=True
    )
    command.add_argument("store", metavar="A", help="a directory, a zip archive or a URL")
    command.add_argument("target", metavar="B", help="likewise")
    command.add_argument("--node", metavar="NODE", default="", help="the path of a node in A; default: the root")
    command.add_argument("--to", metavar="NODE", help="its path in B; default: that in A")
    _option(command, what="A")
    _option(command, ("--target-option",), what="B")
    command.add_argument("--rtol", metavar="X", type=float, default=0.0, help="the relative difference allowed; default: 0")
    command.add_argument("--atol", metavar="X", type=float, default=0.0, help="the absolute difference allowed; default: 0")
    command.add_argument("--max-regions", metavar="N", type=arguments.count, default=100, help="list so many; default: 100")
    command.add_argument("--strict", action="store_true", help="how they are stored may not differ either")

    more = "The same whatever the chunks, codecs, format or store. Of a group, those of all arrays in it."
    command = commands.add("digest", "comparing:digest", "a digest of an array's values", more=more, quiet=True)
    _store(command)
    command.add_argument("--algorithm", metavar="NAME", default="sha256", help="any that hashlib has; default: sha256")

    command = commands.add("check", "checks:check", "what is damaged, left over or out of place; changes nothing", quiet=True)
    _store(command)
    command.add_argument("--repair", action="store_true", help="tidy up, and set aside what is damaged; deletes no data")
    command.add_argument("--no-decode", action="store_true", help="look at sizes and documents, and decode nothing")

    more = "Looks at the metadata, the sizes of some objects and some chunks; changes nothing."
    command = commands.add("advise", "advice:advise", "what would make a store smaller, or its reads cheaper", more=more)
    _store(command)
    command.add_argument("--trace", metavar="FILE", help="what RecordingStore.save wrote; advice is then about the reads in it")
    command.add_argument("--sample", metavar="SIZE", default="4MiB", help="so much of each array; default: 4MiB")

    more = "Writes a copy of what it reads to a temporary directory, or where --write-to says, and removes it again."
    command = commands.add("bench", "bench:bench", "how fast this machine reads and writes an array", more=more, quiet=True)
    _store(command)
    command.add_argument("--seconds", metavar="S", type=arguments.seconds, default=_BENCH_S, help="of each; default: 2")
    command.add_argument("--limit", metavar="MIB", type=arguments.count, default=256, help="read so many MiB; default: 256")
    command.add_argument("--write-to", metavar="STORE", help="a directory or URL that does not exist yet")
    command.add_argument("--no-write", action="store_true", help="read only")


def _library(commands: Commands) -> None:
    command = commands.add("codecs", "registries:codecs", "the codecs that can be used, and those that lack a library")
    command.add_argument("name", metavar="NAME", nargs="?", help="one of them")
    command = commands.add("stores", "registries:stores", "the kinds of store there are, and what each can do")
    command.add_argument("name", metavar="NAME", nargs="?", help="one of them")

    more = "In bash: source <(ndzarr completion bash). In zsh likewise. In fish: ndzarr completion fish | source."
    command = commands.add("completion", "completion:completion", "a script that completes commands and options", more=more)
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")

    command = commands.add("demo", "demonstration:demo", "write a small dataset, read it back, say what that cost")
    default = "ndzarr-demo.zarr"
    command.add_argument("directory", metavar="DIR", nargs="?", default=default, help=f"default: {default}")
