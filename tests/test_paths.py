"""TOML files are read as Python's own parser reads them, whichever way is taken."""

import tomllib
from pathlib import Path

import pytest

from estimator.paths import PACKAGE, data_folder, toml

FILES = [*PACKAGE.glob("presets/*.toml"), *data_folder("hardware").rglob("*.toml")]
FILES += [*data_folder("calibration").rglob("*.toml")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_that_ship_read_as_toml_does(path: Path):
    text = path.read_text(encoding="utf-8")

    assert repr(toml(text)) == repr(tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "a = 1_000  # a comment",
        "day = 2025-01-31\nat = 2025-01-31T10:00:00Z\nin_the_morning = 07:30:00",
        'a = """x\ny"""\nb = [\n1,\n2,\n]',
        "a.b = 1\n[c.d.e]\nf = +1\ng = 0x1f\nh = inf\n[[i]]\n[i.j]\nk = 'l = \"m\"'",
        'a = { b = "c = d", e = [1, 2] }\n"f g" = "h # i"  # j',
        "[a]  # b\nc = true\r\n[[d]]\n\n  e = 1",
    ],
)
def test_whatever_is_written_otherwise_reads_the_same(text: str):
    assert repr(toml(text)) == repr(tomllib.loads(text))


@pytest.mark.parametrize(
    "text", ["a = 1\na = 2", "[a]\n[a]", "a = null", "a = NaN", "a =", "a", "[a", "a = 1 2", "a = 2025-13-01"]
)
def test_what_is_not_toml_is_refused(text: str):
    with pytest.raises(tomllib.TOMLDecodeError):
        toml(text)
