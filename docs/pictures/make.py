"""Make the pictures in this folder again: `python docs/pictures/make.py [NAME ...]`, all of them without a name.

Needs `pip install '.[docs]'` and a Chromium on PATH. Nothing is drawn by hand: commands run on a terminal of their own (a pty),
the notebook in a kernel, and what they show is turned into a page that Chromium photographs.
"""

from __future__ import annotations

import argparse
import codecs
import fcntl
import html
import io
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
#: The most bytes of a picture; more would be slow on the page of a repository.
MOST_BYTES = 200 << 10
#: Pixels of the page for each of CSS, so that text is sharp on screens of today.
SCALE = 1.5

#: What is in a directory before the commands of the terminals run.
SETUP = """
import numpy as np, ndzarr
day, lat, lon = np.arange(120), np.linspace(-89.5, 89.5, 180), np.arange(0.5, 360)
sst = 280 + 18 * np.cos(np.deg2rad(lat))[:, None] + np.sin(np.deg2rad(4 * lon)) + 0.01 * day[:, None, None]
sst = (sst + np.random.default_rng(0).normal(0, 0.2, sst.shape)).round(1).astype("f4")
sst[:, (np.sin(np.deg2rad(2 * lon)) * np.cos(np.deg2rad(3 * lat[:, None])) > 0.55)] = np.nan
ocean = ndzarr.create_group("ocean.zarr", attributes={"title": "Sea surface temperature", "Conventions": "CF-1.10"})
for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
    ocean.create_array(name, shape=values.shape, dtype="f8", dimension_names=[name], attributes={"units": units})[:] = values
z = ocean.create_array(
    "surface/sst", shape=(365, 180, 360), chunks=(10, 60, 60), dtype="f4", fill_value=np.nan,
    dimension_names=["time", "lat", "lon"], attributes={"long_name": "sea surface temperature", "units": "K"},
)
z[:120] = sst
ocean.create_array("surface/ice", shape=(365, 180, 360), chunks=(1, 90, 90), shards=(73, 180, 360), dtype="u1",
                   dimension_names=["time", "lat", "lon"])[:73] = (sst[:73] < 284) * 100
"""

#: The notebook: what is in its cells.
CELLS = (
    'import ndzarr\n\nocean = ndzarr.open("ocean.zarr")\nocean',
    'sst = ocean["surface/sst"]\nsst',
    'sst.plot({"time": 60}, origin="lower", cmap="inferno")',
)


@dataclass
class Terminal:
    """Commands, each shown with its output; the last one stopped when a bar shows this share, else at its end."""

    commands: tuple[str, ...]
    columns: int = 96
    share: float | None = None


TERMINALS = {
    "demo": Terminal(("python -m ndzarr demo",), columns=100),
    "progress": Terminal(("ndzarr rechunk ocean.zarr series.zarr --node surface/sst --chunks 365,2,2",), columns=90, share=0.4),
    "info": Terminal(("ndzarr info ocean.zarr surface/sst", "ndzarr tree ocean.zarr"), columns=90),
}


# ---- a terminal --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Style:
    """How a character looks."""

    colour: str | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False


_COLOURS = "#3b4252 #e06c75 #98c379 #e5c07b #61afef #c678dd #56b6c2 #d8dee9".split()
_BRIGHT = "#7f8796 #ff8a93 #b5e890 #ffd98a #8ac6ff #e29bf5 #7fd9e3 #ffffff".split()
_STEPS = (0, 95, 135, 175, 215, 255)


def _of_256(n: int) -> str:
    if n < 16:
        return (_COLOURS + _BRIGHT)[n]
    if n >= 232:
        return f"rgb({8 + 10 * (n - 232)},{8 + 10 * (n - 232)},{8 + 10 * (n - 232)})"
    return f"rgb({_STEPS[(n - 16) // 36]},{_STEPS[(n - 16) // 6 % 6]},{_STEPS[(n - 16) % 6]})"


@dataclass
class Screen:
    """As much of a terminal as command lines use: colours, returning to the line's start, going up, clearing."""

    lines: list[list[tuple[str, Style]]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    style: Style = field(default_factory=Style)

    _TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b.|[\r\n\b\t]|[^\x1b\r\n\b\t]+")

    def write(self, text: str) -> None:
        for token in self._TOKEN.finditer(text):
            shown = token[0]
            if token[2]:
                self._control(token[1], token[2])
            elif shown == "\n":
                self._to(self.row + 1)
            elif shown == "\r":
                self.column = 0
            elif shown == "\b":
                self.column = max(0, self.column - 1)
            elif shown == "\t":
                self.column += 8 - self.column % 8
            elif shown[0] != "\x1b":
                for character in shown:
                    self._put(character)

    def _to(self, row: int) -> None:
        self.row = max(0, row)
        while len(self.lines) <= self.row:
            self.lines.append([])

    def _put(self, character: str) -> None:
        line = self.lines[self.row]
        line.extend([(" ", Style())] * (self.column + 1 - len(line)))
        line[self.column] = character, self.style
        self.column += 1

    def _control(self, arguments: str, what: str) -> None:
        numbers = [int(n) for n in arguments.split(";") if n.isdigit()]
        first = numbers[0] if numbers else 0
        if what == "m":
            self._paint(numbers or [0])
        elif what == "A":
            self._to(self.row - max(1, first))
        elif what == "B":
            self._to(self.row + max(1, first))
        elif what == "C":
            self.column += max(1, first)
        elif what == "D":
            self.column = max(0, self.column - max(1, first))
        elif what == "G":
            self.column = max(1, first) - 1
        elif what == "K":
            if first == 2:
                self.lines[self.row] = []
            elif first == 0:
                del self.lines[self.row][self.column :]
        elif what == "J":
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]

    def _paint(self, numbers: list[int]) -> None:
        look = dict(vars(self.style))
        while numbers:
            n = numbers.pop(0)
            if n == 0:
                look = dict(vars(Style()))
            elif n in (1, 2, 3):
                look[("bold", "dim", "italic")[n - 1]] = True
            elif n == 22:
                look["bold"] = look["dim"] = False
            elif n == 23:
                look["italic"] = False
            elif 30 <= n <= 37:
                look["colour"] = _COLOURS[n - 30]
            elif 90 <= n <= 97:
                look["colour"] = _BRIGHT[n - 90]
            elif n == 39:
                look["colour"] = None
            elif n == 38 and numbers[:1] == [5]:
                look["colour"] = _of_256(numbers[1])
                del numbers[:2]
            elif n == 38 and numbers[:1] == [2]:
                look["colour"] = "rgb({},{},{})".format(*numbers[1:4])
                del numbers[:4]
        self.style = Style(**look)

    def html(self) -> str:
        return "\n".join(self._line(line) for line in self.lines).rstrip("\n")

    @staticmethod
    def _line(line: list[tuple[str, Style]]) -> str:
        parts, run, style = [], "", Style()
        for character, look in [*line, ("", Style())]:
            if look != style or not character:
                css = f"color:{style.colour};" * bool(style.colour) + "font-weight:bold;" * style.bold
                css += "opacity:0.6;" * style.dim + "font-style:italic;" * style.italic
                parts.append(f'<span style="{css}">{html.escape(run)}</span>' if css else html.escape(run))
                run, style = "", look
            run += character
        return "".join(parts)

    def text(self) -> str:
        return "\n".join("".join(character for character, _ in line) for line in self.lines)


def run(command: str, directory: Path, columns: int, share: float | None) -> Screen:
    """What a command leaves on a terminal of so many columns, or has there when a bar says "m/n" with m >= share * n."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(directory)
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(columns), "PYTHONPATH": str(TOP)}
        for name in ("NO_COLOR", "CI", "GITHUB_ACTIONS"):
            os.environ.pop(name, None)
        # The names that the picture shows stand for this Python and the command of this tree.
        words = command.split()
        os.execv(sys.executable, [sys.executable, *(["-m", "ndzarr"] if words[0] == "ndzarr" else []), *words[1:]])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    screen, decoder = Screen(), codecs.getincrementaldecoder("utf-8")("replace")
    reached, limit = False, time.monotonic() + 120
    try:
        while not reached and time.monotonic() < limit and select.select([terminal], [], [], 60)[0]:
            screen.write(decoder.decode(os.read(terminal, 1 << 12)))
            if share is not None:
                shown = [int(m[1]) / int(m[2]) for m in re.finditer(r"(\d+)/([1-9]\d*)", screen.text())]
                reached = any(share <= n < 1 for n in shown)
    except OSError:  # how Linux says that the other side of the terminal is closed
        pass
    if reached:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    if reached != (share is not None) or (share is None and status):
        raise SystemExit(f"{command!r} ended with {status} and this on the terminal:\n{screen.text()}")
    return screen


def terminal_page(terminal: Terminal, directory: Path) -> tuple[str, int]:
    """A page with a terminal on it, and its width in CSS pixels."""
    shown = []
    for command in terminal.commands:
        stop = terminal.share if command == terminal.commands[-1] else None
        shown.append(f'<span class="prompt">$</span> <b>{html.escape(command)}</b>')
        shown.append(run(command, directory, terminal.columns, stop).html())
        shown.append("")
    dots = "".join(f'<i style="background:{colour}"></i>' for colour in ("#ff5f57", "#febc2e", "#28c840"))
    text = "\n".join(shown).rstrip("\n")
    page = f"""<style>
body {{margin: 0; background: transparent}}
.window {{background: #1e222a; color: #d8dee9; border-radius: 8px; overflow: hidden}}
.bar {{background: #2b303b; padding: 7px 10px}}
.bar i {{display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px}}
pre {{margin: 0; padding: 12px 16px 16px; font: 13px/1.4 "DejaVu Sans Mono", monospace}}
.prompt {{color: #98c379}}
</style><div class="window"><div class="bar">{dots}</div><pre>{text}</pre></div>"""
    return page, round(terminal.columns * 7.83) + 34


# ---- a notebook --------------------------------------------------------------------------------


def notebook_page(directory: Path) -> tuple[str, int]:
    """A page with the cells of the notebook and what they show, and its width in CSS pixels."""
    import nbformat
    from nbclient import NotebookClient
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    os.environ["PYTHONPATH"] = str(TOP)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(directory)}}).execute()
    formatter = HtmlFormatter(style="default", nowrap=True)
    parts = []
    for n, cell in enumerate(notebook.cells, 1):
        code = highlight(cell.source, PythonLexer(), formatter).rstrip()
        parts.append(f'<div class="prompt">[{n}]:</div><pre class="code">{code}</pre>')
        parts += [f'<div class="prompt out">[{n}]:</div><div class="output">{_shown(out)}</div>' for out in cell.outputs]
    page = f"""<style>
{formatter.get_style_defs("pre")}
body {{margin: 0; background: white; color: #222; font: 14px/1.4 "DejaVu Sans", sans-serif}}
.notebook {{display: grid; grid-template-columns: 3.5em 1fr; gap: 10px 8px; padding: 14px}}
.prompt {{color: #307fc1; font: 13px/1.4 "DejaVu Sans Mono", monospace; padding-top: 9px; text-align: right}}
.out {{color: #bf5b3d; padding-top: 2px}}
pre.code {{margin: 0; background: #f6f6f6; border: 1px solid #ddd; padding: 8px 10px}}
pre.code {{font: 13px/1.4 "DejaVu Sans Mono", monospace}}
</style><div class="notebook">{"".join(parts)}</div>"""
    return page, 800


def _shown(output: Any) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img width="560" src="data:image/png;base64,{data["image/png"].strip()}">'
    return str(data.get("text/html") or f"<pre>{html.escape(data.get('text/plain', ''))}</pre>")


# ---- photographs -------------------------------------------------------------------------------


def photograph(page: str, width: int, target: Path) -> None:
    """Write a picture of a page, cut to what is on it, in few colours."""
    from PIL import Image, ImageChops

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("pictures need Chromium on PATH")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "page.html").write_text(f"<!doctype html><meta charset=utf-8>{page}", encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
                   f"--force-device-scale-factor={SCALE}", "--default-background-color=00000000",
                   f"--screenshot={folder}/page.png", f"--window-size={width},2400"]  # fmt: skip
        subprocess.run([browser, *options, f"file://{folder}/page.html"], check=True, capture_output=True, timeout=120)
        picture = Image.open(f"{folder}/page.png").convert("RGBA")
    # What is left empty below is of one colour, or of none.
    blank = Image.new("RGBA", picture.size, picture.getpixel((picture.width // 2, picture.height - 1)))
    box = ImageChops.difference(picture, blank).getbbox(alpha_only=False)
    margin = 0 if picture.getpixel((0, picture.height - 1))[3] == 0 else round(14 * SCALE)
    picture = picture.crop((0, 0, picture.width, min(picture.height, box[3] + margin)))
    buffer = io.BytesIO()
    picture.quantize(255, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    if len(buffer.getvalue()) > MOST_BYTES:
        raise SystemExit(f"{target.name} has {len(buffer.getvalue()):,} bytes, more than {MOST_BYTES:,}")
    target.write_bytes(buffer.getvalue())
    print(f"{target.name}: {picture.width} x {picture.height}, {target.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join([*TERMINALS, 'notebook'])}")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder to write to, by default that of this file")
    arguments = parser.parse_args()
    for name in arguments.names or [*TERMINALS, "notebook"]:
        # Always the same, since it is seen in pictures.
        folder = Path(tempfile.gettempdir(), "ndzarr-pictures")
        folder.mkdir()
        try:
            subprocess.run([sys.executable, "-c", SETUP], cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(TOP)})
            page, width = notebook_page(folder) if name == "notebook" else terminal_page(TERMINALS[name], folder)
            photograph(page, width, arguments.into / f"{name}.png")
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
