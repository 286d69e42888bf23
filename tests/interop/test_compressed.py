"""What `compress` wrote, read by zarr-python 3, with and without the libraries that some chains need there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndzarr
from ndzarr.compression import compress as module

READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, zarr
told = {}
for name in sys.argv[2:]:
    try:
        np.save(f"{sys.argv[1]}/{name}.npy", zarr.open_array(f"{sys.argv[1]}/{name}", mode="r")[...])
        told[name] = "ok"
    except Exception as error:
        told[name] = f"{type(error).__name__}: {error}"
print(json.dumps(told))
"""


def data() -> np.ndarray:
    t, y, x = np.meshgrid(np.arange(12), np.linspace(-2, 2, 40), np.linspace(0, 9, 60), indexing="ij")
    return 280 + 20 * np.sin(x + t / 3) * np.cos(y) + np.random.default_rng(0).normal(0, 0.02, x.shape)


def arrays(root: Path) -> dict[str, ndzarr.ZArray]:
    """One array for each family of chains and format, those that would not be the smallest too."""
    made = {}
    smooth = data().astype("f4")
    holes = np.where(smooth > 295, np.nan, smooth)
    holes[0, 0, :3] = np.inf, -np.inf, 0
    counts = (data() * 10).astype("u2")
    cases: Mapping[str, tuple[Any, dict[str, Any]]] = {
        "lossless": (smooth, {}),
        "plain": (smooth, {"max_abs": 0.01, "extras": False}),
        "holes": (holes, {"max_abs": 0.01}),
        "holes-plain": (holes, {"max_abs": 0.01, "extras": False}),
        "smooth": (smooth, {"max_abs": 0.01}),
        "double": (data(), {"max_rel": 1e-5}),
        "bits": (holes, {"keep_bits": "auto"}),
        "counts": (counts, {"max_abs": 3}),
        "counts-plain": (counts, {"max_abs": 3, "extras": False}),
    }
    for version in (2, 3):
        for name, (values, how) in cases.items():
            made[f"{name}-v{version}"] = ndzarr.compress(
                values, root / f"{name}-v{version}", chunks=(5, 40, 32), zarr_format=version, **how
            )
    return made


def forced(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ndzarr.ZArray]:
    """Every chain that can be chosen for these data, one after the other."""
    made = {}
    best = module._Work._trials
    for version in (2, 3):
        for what, values, how in (
            ("f", data().astype("f4"), {"max_abs": 0.01}),
            ("u", (data() * 10).astype("u2"), {"max_abs": 3}),
        ):
            record = made[f"{what}-v{version}"] = ndzarr.compress(
                values, root / f"{what}-v{version}", zarr_format=version, **how
            )
            names = [c["chain"] for c in record.attrs[module.RECORD]["candidates"] if c["nbytes"] is not None]
            assert len(names) > 10
            for n, chain in enumerate(names):
                monkeypatch.setattr(
                    module._Work,
                    "_trials",
                    lambda self, seen, chain=chain: [t for t in best(self, self._range()) if t.candidate.name == chain],
                )
                monkeypatch.setattr(module, "_best", lambda trials: None)
                path = f"{what}-v{version}-{n}"
                made[path] = ndzarr.compress(values, root / path, zarr_format=version, **how)
                assert made[path].attrs[module.RECORD]["chain"] == chain
                monkeypatch.undo()
    return made


def test_zarr_python_reads_what_compress_wrote(
    interpreter: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    made = {**arrays(tmp_path), **forced(tmp_path, monkeypatch)}
    ran = subprocess.run(
        [interpreter("zarr3"), "-c", READ, str(tmp_path), *made], capture_output=True, text=True, timeout=300, check=True
    )
    told = json.loads(ran.stdout)
    assert {name: said for name, said in told.items() if said != "ok"} == {}
    record_property("count: compressed arrays that zarr-python reads", len(made))
    for name, z in made.items():
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{name}.npy"), z[...], err_msg=f"{name}: {z.attrs[module.RECORD]['chain']}"
        )
