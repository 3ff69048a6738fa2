"""Facts about vector search: number formats, defaults, vendors' sizing rules, host machines, fitted search rates."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimator.catalog.files import cached, number, rows, table
from estimator.errors import UnknownName
from estimator.formulas.retrieval import SearchRates
from estimator.paths import data_folder, presets
from estimator.records import Basis, Source

RULE_COLUMNS = ("engine", "encoding", "index", "factor", "bytes_per_dim", "bytes_per_m", "bytes_fixed")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that searches vectors.

    cores: as its maker counts them, hyper-threads included [1]
    clock_hz: under load [Hz]; memory_bandwidth_bytes_per_s: of all its cores together [B/s]
    rates: constants measured on it; `None` takes the fitted ones, scaled by the clock
    """

    name: str
    cores: float
    clock_hz: float
    memory_bandwidth_bytes_per_s: float
    memory_bytes: float | None = None
    rates: SearchRates | None = None
    basis: Basis = "published"
    note: str = ""


@dataclass(frozen=True, slots=True)
class VendorRule:
    """factor x n x (bytes_per_dim d + bytes_per_m M + bytes_fixed) in memory; originals on disk as well if so."""

    engine: str
    encoding: str
    index: str
    factor: float
    bytes_per_dim: float
    bytes_per_m: float
    bytes_fixed: float
    float_copy_on_disk: bool
    source: Source


@cached
def vendor_rules() -> dict[tuple[str, str, str], VendorRule]:
    """All sizing rules by (engine, encoding, index)."""
    rules = [_rule(row) for row in rows(presets() / "retrieval_rules.csv", RULE_COLUMNS)]
    return {(rule.engine, rule.encoding, rule.index): rule for rule in rules}


def _rule(row: dict[str, str]) -> VendorRule:
    figures = {name: number(row[name], f"retrieval_rules.csv: {name}") or 0.0 for name in RULE_COLUMNS[3:]}
    source = Source(row["source"], row["kind"], row["read_on"])
    copy = row["disk_float_copy"] == "1"
    return VendorRule(row["engine"], row["encoding"], row["index"], **figures, float_copy_on_disk=copy, source=source)


@cached
def _preset() -> dict[str, Any]:
    return table(presets() / "retrieval.toml")


def default(name: str) -> float:
    """A default of vector indexes, SI.

    >>> default("m")
    16.0
    """
    return float(_preset()["default"][name]["value"])


def bits_per_dim(dtype: str) -> float:
    """Bits one dimension takes in a number format.

    >>> bits_per_dim("float16")
    16.0
    """
    known = _preset()["bits_per_dim"]
    if dtype not in known:
        raise UnknownName("vector format", dtype, known)
    return float(known[dtype])


def host(description: str) -> Host:
    """A machine from words: cores, memory and a known instance type are looked for; what is missing is assumed.

    >>> host("GCP n4-highmem-16, 16 vCPU, 128 GB").cores
    16.0
    >>> host("my server").basis
    'assumed'
    """
    text = description.lower()
    entry, known = _host_entry(text)
    stated = _cores(text)
    cores = stated or float(_preset()["default_cores"]["value"])
    return Host(
        name=description or "a server",
        cores=cores,
        clock_hz=_stated(r"(\d+(?:\.\d+)?)\s*ghz", text, 1e9) or float(entry["clock_hz"]),
        memory_bandwidth_bytes_per_s=_stated(r"(\d+(?:\.\d+)?)\s*gb/s", text, 1e9)
        or cores * float(entry["bandwidth_bytes_per_s_per_core"]),
        memory_bytes=_stated(r"(\d+(?:\.\d+)?)\s*gi?b(?!/)", text, 2.0**30),
        basis="published" if known and stated else "assumed",
        note="" if known else "processor not recognised: a typical cloud core",
    )


def _host_entry(text: str) -> tuple[dict[str, Any], bool]:
    entries: list[dict[str, Any]] = _preset()["host"]
    for entry in entries[:-1]:
        if any(name in text for name in entry["names"]):
            return entry, True
    return entries[-1], False


def _cores(text: str) -> float | None:
    if re.search(r"\bsingle[- ](?:thread|core)|\b1[- ]thread\b", text):
        return 1.0
    return _stated(r"(\d+)\s*-?\s*(?:v?cpus?|v?cores?|threads?)\b", text) or _stated(r"\b(\d+)c\d+g\b", text)


def _stated(pattern: str, text: str, unit: float = 1.0) -> float | None:
    found = re.search(pattern, text)
    return float(found[1]) * unit if found else None


def fit_file() -> Path:
    """The generated constants of vector search."""
    return data_folder("calibration") / "fitted" / "retrieval.json"


@cached
def retrieval_fit() -> dict[str, Any]:
    """Fitted groups (`server`, `library`), their reference clocks, residual quantiles and folds."""
    fitted: dict[str, Any] = json.loads(fit_file().read_text("utf-8"))
    return fitted


def fitted_rates(group: str) -> tuple[SearchRates, float]:
    """Search rates of a group and the clock they hold at [Hz]."""
    entry = retrieval_fit()["groups"][group]
    return SearchRates(**entry["rates"]), float(entry["clock_hz"])
