"""Accelerators by name: `a100`, `NVIDIA H100 80GB HBM3`, `8xh100`, `p5.48xlarge`, `v4-8`; a file each in hardware.

A name is looked for among file names first, in the aliases of the files next; only the file that answers is parsed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from estimator.catalog.files import Content, cached, folders, number, rows, table
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import regular
from estimator.numerals import LEAST, numeral
from estimator.paths import data_folder
from estimator.records import Accelerator, Cluster, Source

GIB = 2.0**30
MIB = 2.0**20
REMEDY = "`estimator catalog accelerators` lists them; to add one, see hardware/README.md."
SEVERAL = "One is asked for at a time here; `estimator layout` and `estimator check` compare several (--gpu a,b)."
MAKERS = re.compile(r"^(?:nvidia|amd|intel|google|aws|geforce|tesla|radeon|instinct)-")
PEAK = re.compile(r"^([a-z0-9]+)_(?:fl)?op_per_s$")
ALIASES = re.compile(r"^aliases\s*=\s*\[(.*?)\]", re.MULTILINE | re.DOTALL)
USABLE = {"gpu": 0.987, "soc": 0.75}  # of memory, by kind, where no file says: 39.5 of 40 GiB in logs; Apple's default
COUNTS = ("year", "sms", "link_domain", "accelerators_per_node")
MOST_IN_ONE = 1_000_000  # of anything, in one accelerator, node or domain
MOST_ACCELERATORS = 10_000_000


@cached
def accelerator(name: str) -> Accelerator:
    """The accelerator that `name`, its file name or one of its aliases, means.

    >>> accelerator("a100").memory_bytes / 2**30
    80.0
    >>> accelerator("NVIDIA H100 80GB HBM3").name
    'h100-sxm'
    """
    path = _find(canonical(name))
    return read_accelerator(path) if path else _measured(name)


def _measured(name: str) -> Accelerator:
    """The machine that was measured under a name."""
    from estimator.catalog.local import is_measured, local_accelerator  # loaded for these alone

    if not is_measured(canonical(name)):
        raise UnknownName("accelerator", name, known_names(), SEVERAL if "," in name else _containing(name) + REMEDY)
    return local_accelerator(canonical(name))


def cluster(text: str) -> Cluster | Accelerator:
    """`8xh100` or `h100:8` is a cluster, an instance or a TPU slice is one too; a bare name leaves the count open.

    >>> cluster("16xh100").nodes
    2
    >>> cluster("h100:8").count, cluster("a100").name
    (8, 'a100-sxm-80gb')
    >>> cluster("g5.12xlarge").count, cluster("2xp5.48xlarge").count, cluster("v4-8").count
    (4, 16, 4)
    """
    counted = re.fullmatch(r"\s*([+-]?[\d.,_]+)\s*[x×*]\s*(\S.*)", text, re.IGNORECASE | re.ASCII)
    counted_last = re.fullmatch(r"(.*\S)\s*[:×*]\s*([+-]?[\d.,_]+)\s*", text, re.ASCII)
    if not counted and not counted_last:
        return _rented(text) or accelerator(text)
    count, name = counted.groups() if counted else counted_last.groups()[::-1]  # type: ignore[union-attr]
    each = _rented(name)
    if each is None:
        return cluster_of(accelerator(name), _count(count))
    return each._replace(count=each.count * _count(count))


def _rented(name: str) -> Cluster | None:
    """The accelerators of an instance or a slice, by the name a cloud rents them under."""
    spelled = name.strip().lower()[:100]
    found = _instances().get(spelled.removeprefix("standard_"))
    if found:
        return _instance(found)
    piece = re.fullmatch(r"(?:tpu-?)?(v\d[a-z]*)-(\d{1,6})", spelled)
    if piece is None or piece[1] not in _slices():
        return None
    device, per_chip = _slices()[piece[1]]
    if not int(piece[2]) or int(piece[2]) % per_chip:
        raise InvalidInput(
            f"slices of {device} count {per_chip} cores to a chip: {clipped(name)} is no number of chips"
        )
    return cluster_of(accelerator(device), int(piece[2]) // per_chip)


@cached
def _instances() -> dict[str, dict[str, str]]:
    """What clouds rent under one name, by it."""
    listed = rows(data_folder("hardware") / "instances.csv")
    return {row["name"].lower().removeprefix("standard_"): row for row in listed}


def _instance(row: Mapping[str, str]) -> Cluster:
    """The accelerators of an instance, and its own memory where that is known."""
    memory, count = number(row["memory_gib"], "memory_gib"), int(row["count"])
    return Cluster(accelerator(row["accelerator"]), count, count, _times(memory, GIB))


@cached
def _slices() -> dict[str, tuple[str, int]]:
    """From the start of a slice's name to its accelerator and what a chip counts for."""
    listed = rows(data_folder("hardware") / "slices.csv")
    return {row["prefix"]: (row["accelerator"], int(row["counted_per_chip"])) for row in listed}


def cluster_of(device: Accelerator, count: int) -> Cluster:
    """`count` of one accelerator in nodes of its usual size (of 8 where that is not known)."""
    return Cluster(device, count, min(count, device.per_node or 8))


@cached
def accelerator_names() -> tuple[str, ...]:
    """File names of all accelerators, sorted."""
    return tuple(sorted({stem for folder in folders("accelerators") for stem in _stems(folder)}))


@cached
def known_names() -> tuple[str, ...]:
    """Every name and alias that `accelerator` answers to."""
    return tuple(sorted({"local", *accelerator_names(), *(alias for path in _files() for alias in _aliases(path))}))


def canonical(name: str) -> str:
    """A name as the files spell it: lower case, hyphens, no maker in front.

    >>> canonical("NVIDIA GeForce RTX_4090")
    'rtx-4090'
    """
    spelled = re.sub(r"[\s_/-]+", "-", name.strip().lower()[:200]).strip("-")
    while MAKERS.match(spelled):
        spelled = MAKERS.sub("", spelled)
    return spelled


def _find(name: str) -> Path | None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name):
        return None
    for folder in folders("accelerators"):
        path = folder / f"{name}.toml"
        if path.exists():
            return path
        likely_first = sorted(_stems(folder), key=lambda stem: (stem[:3] != name[:3], stem))
        for path in (folder / f"{stem}.toml" for stem in likely_first):
            if name in _aliases(path):
                return path
    return None


def _files() -> Iterator[Path]:
    for folder in folders("accelerators"):
        yield from (folder / f"{stem}.toml" for stem in _stems(folder))


def _stems(folder: Path) -> list[str]:
    names = os.listdir(folder)  # noqa: PTH208  # building a path of each would take longer than all the rest
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _aliases(path: Path) -> list[str]:
    """The aliases of a file, found without parsing it."""
    try:
        found = ALIASES.search(path.read_text(encoding="utf-8", errors="replace") if regular(path) else "")
    except OSError:  # in the way of no other name; asked for by its own, it is said
        return []
    return re.findall(r'"([^"]*)"', found[1]) if found else []


def _containing(name: str) -> str:
    text = canonical(name)
    hits = [known for known in accelerator_names() if len(text) > 1 and text in known][:4]
    return f"Names with it: {', '.join(hits)}. " if hits else ""


def _count(text: str) -> int:
    value = numeral(text)
    if value is None or not 1 <= value <= MOST_ACCELERATORS or value % 1:
        raise InvalidInput(
            f"the number of accelerators must be a whole number from 1 to {MOST_ACCELERATORS}, not {clipped(text)}"
        )
    return int(value)


def read_accelerator(path: Path) -> Accelerator:
    """The record of one accelerator file."""
    content = table(path)
    missing = [key for key in ("name", "vendor", "generation", "kind", "source", "spec") if key not in content]
    if missing:
        raise InvalidInput(f"{path.name} lacks {missing[0]!r}. See hardware/README.md.")
    for key in ("name", "vendor", "generation", "link", "note"):
        if not isinstance(content.get(key, ""), str):
            raise InvalidInput(f"{path.name}: {key} must be text, not {clipped(content[key])}")
    if content["kind"] not in ("gpu", "tpu", "asic", "soc", "cpu"):
        raise InvalidInput(f"{path.name}: kind must be gpu, tpu, asic, soc or cpu, not {clipped(content['kind'])}")
    sources = _sources(path, content["source"])
    figures = {key: _figure(path, key, entry, sources) for key, entry in content["spec"].items()}
    return _record(path, content, figures, sources)


def _sources(path: Path, entries: list[Content]) -> dict[str, Source]:
    try:
        return {e["id"]: Source(str(e["title"]), str(e["kind"]), str(e["read_on"])) for e in entries}
    except (KeyError, TypeError):
        raise InvalidInput(f"{path.name}: every [[source]] needs id, title, kind and read_on") from None


def _figure(path: Path, key: str, entry: object, sources: Mapping[str, Source]) -> tuple[float, str]:
    if not isinstance(entry, dict) or entry.get("source") not in sources:
        raise InvalidInput(f"{path.name}: {key} must be {{ value = ..., source = an id of a [[source]] }}")
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST < value < 1e20:
        raise InvalidInput(f"{path.name}: {key} must be a positive number, not {clipped(value)}")
    if key in COUNTS and (value % 1 or value > MOST_IN_ONE):
        raise InvalidInput(f"{path.name}: {key} must be a whole number up to {MOST_IN_ONE:,}, not {clipped(value)}")
    return float(value), entry["source"]


def _record(
    path: Path, content: Content, figures: Mapping[str, tuple[float, str]], sources: Mapping[str, Source]
) -> Accelerator:
    values = {key: value for key, (value, _) in figures.items()}
    peaks = {match[1]: value for key, value in values.items() if (match := PEAK.match(key))}
    for key in ("memory_gib", "memory_bandwidth_bytes_per_s"):
        if key not in values:
            raise InvalidInput(f"{path.name}: [spec] lacks {key!r}. See hardware/README.md.")
    if not peaks:
        raise InvalidInput(f"{path.name}: [spec] lacks a peak such as 'bf16_flop_per_s'. See hardware/README.md.")
    pcie = pcie_bytes_per_s(values.get("pcie_generation"))
    link = str(content.get("link", ""))
    recalled = tuple(key for key, (_, source) in figures.items() if sources[source].kind == "recalled")
    per_node = _whole(values.get("accelerators_per_node"))
    return Accelerator(
        name=path.stem,
        title=content["name"],
        vendor=content["vendor"],
        generation=content["generation"],
        kind=content["kind"],
        memory_bytes=values["memory_gib"] * GIB,
        memory_bandwidth_bytes_per_s=values["memory_bandwidth_bytes_per_s"],
        peak_flop_per_s=peaks,
        year=_whole(values.get("year")),
        l2_bytes=_times(values.get("l2_mib"), MIB),
        sms=_whole(values.get("sms")),
        clock_hz=values.get("clock_hz"),
        tdp_w=values.get("tdp_w"),
        link=link,
        link_bytes_per_s=pcie if link == "PCIe" else _times(values.get("link_bidirectional_bytes_per_s"), 0.5),
        pcie_bytes_per_s=pcie,
        per_node=per_node,
        domain=_whole(values.get("link_domain")) or per_node,
        network_bytes_per_s=_times(values.get("network_bits_per_s"), 1 / 8),
        basis="assumed" if _rests_on_memory(recalled) else "published",
        sources=tuple(sources.values()),
        note=content.get("note", ""),
        assumed=recalled,
        usable_share=values.get("usable_memory_gib", values["memory_gib"] * USABLE.get(content["kind"], 1.0))
        / values["memory_gib"],
    )


def _rests_on_memory(recalled: tuple[str, ...]) -> bool:
    """Whether a figure that decides time or fit was not read anywhere: memory, bandwidth, the 16-bit peak."""
    decisive = {"memory_gib", "memory_bandwidth_bytes_per_s", "bf16_flop_per_s", "fp16_flop_per_s"}
    return not decisive.isdisjoint(recalled)


@cached
def pcie_bytes_per_s(generation: float | None) -> float | None:
    """Rate of an x16 slot, one way [B/s]; `None` when the generation is not known.

    >>> pcie_bytes_per_s(4) / 1e9
    31.508
    """
    if generation is None:
        return None
    for row in rows(data_folder("hardware") / "interconnects.csv"):
        if row["name"] == f"pcie-{generation:g}":
            return number(row["bytes_per_s_one_way"], "bytes_per_s_one_way")
    return None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
