"""What is known: accelerators, LLMs, prices, model types, frameworks, engines, and the files that hold the facts."""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from docs.pages.markdown import code, contents, number, plain, table
from estimator.catalog.engines import engine, known_engines
from estimator.cli.catalogue import KINDS
from estimator.cli.parser import parser
from estimator.paths import PACKAGE, data_folder

TITLES = {
    "models": "Language models",
    "accelerators": "Accelerators",
    "prices": "Prices of accelerators",
    "apis": "Hosted language models",
    "frameworks": "Training frameworks",
    "architectures": "Model types of a config.json",
}
ELSEWHERE = ("inputs",)  # kinds with a page of their own


def pages() -> dict[str, str]:
    """A page a kind of the catalogue, engines, data files."""
    kinds = [kind for kind in KINDS if kind not in ELSEWHERE]
    made = {f"catalogue/{kind}": _kind(kind) for kind in kinds}
    made |= {"catalogue/engines": _engines(), "catalogue/files": _files()}
    names = [*kinds, "engines", "files"]
    head = "# What is known\n\nThe catalogue of the installed version, as `estimator catalog KIND` lists it.\n\n"
    return {"catalogue/index": head + contents(names), **made}


def _kind(kind: str) -> str:
    title = TITLES.get(kind, kind.replace("-", " ").capitalize())
    rows = [{key: _cell(value) for key, value in row.items()} for row in KINDS[kind](_asked(kind))]
    return f"# {title}\n\n`estimator catalog {kind}`, or `--format csv` for a table to work with.\n\n{table(rows)}"


def _asked(kind: str) -> object:
    return parser(("catalog",)).parse_args(["catalog", kind])


def _cell(value: object) -> str:
    return plain(value.isoformat() if isinstance(value, date) else number(value))


def _engines() -> str:
    rows = [
        {
            "engine": code(name),
            "launch": one.launch,
            "kernels": one.kernels,
            "batching": one.batching,
            "scheduling": one.scheduling,
            "memory it takes": number(one.memory_fraction),
            "most sequences": number(one.max_sequences),
            "known from": str(one.year),
        }
        for name in known_engines()
        for one in [engine(name)]
    ]
    head = "# Serving engines\n\n`--set engine=NAME`. What the columns mean: `estimator/presets/engines.toml`.\n\n"
    return head + table(rows)


FILES = """# Data files

Facts are data, formulas are code. These files ship with the package; each figure has its unit in its key or column and
names its source. Figures are facts, cited row by row; no text or code of a source is copied, and the files themselves
are under the licence of the project (Apache-2.0). Where figures were read:
[hardware](../shipped/hardware.md), [calibration](../shipped/calibration.md).

"""


def _files() -> str:
    return FILES + "".join(f"## {title}\n\n{table(_listed(folder))}\n" for title, folder in _folders())


def _folders() -> Iterator[tuple[str, Path]]:
    for name in ("hardware", "calibration"):
        yield name, data_folder(name)
    yield "presets", PACKAGE / "presets"


def _listed(folder: Path) -> Iterator[dict[str, str]]:
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".csv", ".toml", ".json"):
            many = path.parent.name in ("accelerators", "configs")
            shown = path.parent / f"*{path.suffix}" if many else path
            groups.setdefault(str(shown.relative_to(folder)), []).append(path)
    for name, paths in groups.items():
        yield {"file": code(name), "entries": _entries(paths), "holds": _about(paths)}


def _entries(paths: list[Path]) -> str:
    if len(paths) > 1:
        return f"{len(paths)} files"
    if paths[0].suffix != ".csv":
        return ""
    with paths[0].open(encoding="utf-8", newline="") as lines:
        return f"{sum(1 for _ in csv.reader(lines)) - 1:,} rows"


def _about(paths: list[Path]) -> str:
    """The comment at the head of a file, or the columns of a table."""
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    if paths[0].suffix == ".toml" and lines[0].startswith("# "):
        return plain(lines[0].removeprefix("# ").split(". ")[0].rstrip(".:"))
    if paths[0].suffix == ".csv":
        columns = lines[0].split(",")
        return f"columns {', '.join(columns[:6])}{', ...' if len(columns) > 6 else ''}".replace("_", r"\_")
    return ""
