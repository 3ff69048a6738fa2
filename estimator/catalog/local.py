"""Machines that were measured: their profile files, checked on reading, as an accelerator and what its kernels reach.

`local` is the profile in the user's data folder; the files of calibration/measured answer to their own names.
`local-1-thread` is the same machine confined to one thread.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from estimator.catalog.files import Content, cached
from estimator.catalog.profile_shape import fault
from estimator.errors import InvalidInput
from estimator.files import read_text
from estimator.formulas.roofline import (
    AttentionEfficiency,
    DecodeAttentionEfficiency,
    Evidence,
    GemmEfficiency,
    MemoryEfficiency,
)
from estimator.paths import data_folder, user_data_folder
from estimator.records import WIDER, Accelerator, Architecture, Source

PROFILE_VERSION = 2
LOCAL = "local"
ONE_THREAD = "-1-thread"
REMEDY = "Run `estimator calibrate` to measure this machine."
Constants = TypeVar("Constants", GemmEfficiency, AttentionEfficiency, DecodeAttentionEfficiency)


class Job(NamedTuple):
    """One piece of work, as it is run and as it is predicted.

    phase: train (one optimizer step) | lora | prefill | decode (one step) | embed
    tokens: of each of `batch` sequences; in a decode step those cached already [token]
    dtype: format of weights and products; rank: of adapters (lora) [1]
    """

    phase: str
    arch: Architecture
    batch: int
    tokens: int
    dtype: str = "fp32"
    rank: int = 8


def profile_path(name: str = LOCAL) -> Path | None:
    """The profile file a name means, if there is one: the user's own, or a shared one."""
    name = name.removesuffix(ONE_THREAD)
    if Path(name).name != name:  # a path is no name
        return None
    own = name == LOCAL or name.startswith(f"{LOCAL}-")
    path = (user_data_folder() if own else data_folder("calibration") / "measured") / f"{name}.json"
    return path if path.is_file() else None


def is_measured(name: str) -> bool:
    """Whether a name stands for a measured machine (`local` does even before it is measured)."""
    return name.removesuffix(ONE_THREAD) == LOCAL or profile_path(name) is not None


@cached
def profile(name: str = LOCAL) -> Content:
    """The profile behind a name. Raises InvalidInput when nothing was measured or the file is not whole."""
    path = profile_path(name)
    if path is None:
        raise InvalidInput(f"this machine has not been measured. {REMEDY}")
    return read_profile(path)


def read_profile(path: Path) -> Content:
    """A profile file, checked: whole, unedited, of a version this package knows."""
    text = read_text(path, "profile")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"the profile {path.name} is damaged: it is not whole JSON. {REMEDY}") from None
    if not isinstance(content, dict) or not isinstance(content.get("profile_version"), int):
        raise InvalidInput(f"{path.name} is not a profile: it has no profile_version. {REMEDY}")
    if content["profile_version"] != PROFILE_VERSION:
        newer = content["profile_version"] > PROFILE_VERSION
        remedy = "Update this package, or measure again." if newer else REMEDY
        raise InvalidInput(
            f"the profile {path.name} is of version {content['profile_version']}, this package reads "
            f"version {PROFILE_VERSION}. {remedy}"
        )
    if content.get("checksum") != checksum(content):
        raise InvalidInput(f"the profile {path.name} was changed after it was measured (checksum differs). {REMEDY}")
    if wrong := fault(content):
        raise InvalidInput(f"the profile {path.name} cannot be calculated with: {wrong[:200]}. {REMEDY}")
    return content


def checksum(content: Mapping[str, object]) -> str:
    """Digest of everything but the checksum itself."""
    import hashlib  # only for profiles

    plain = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


class LocalMachine(NamedTuple):
    """Fitted constants of one machine at one number of threads; see `estimator.measure.constants` for how.

    constants: tables by kind (gemm, attention, decode_attention, passes, optimizer, memory), then by variant
    drift: 80 % half widths of ln(time) of a probe while the machine was measured, down and up [1]
    """

    name: str
    kind: str
    constants: Content
    drift: tuple[float, float] = (0.0, 0.0)

    def format(self, dtype: str) -> str:
        """The measured format that products in `dtype` are done in: the next wider one where it was not measured."""
        measured = {key.split()[0] for key in self.constants["gemm"]}
        return next((wider for wider in (dtype, *WIDER.get(dtype, ()), "fp32") if wider in measured), min(measured))

    def gemm(self, dtype: str, variant: str) -> GemmEfficiency:
        """Products: `few` (up to 8 rows), `nt` (forward), `nn` (gradient of the input), `tn` (of the weights)."""
        return _record(GemmEfficiency, self._entry("gemm", dtype, variant, "nt"))

    def crowding_power(self, dtype: str) -> float:
        """Power of `roofline.set_crowding` that products against the columns of weights (`nn`) take longer by [1]."""
        return float(self._entry("gemm", dtype, "nn", "nt").get("crowding", 0.0))

    def gemm_residuals(self, dtype: str, variant: str) -> tuple[list[list[float]], list[float]]:
        """What the constants of products leave: shapes (rows, columns, depth), and ln(predicted / measured) of each."""
        entry = self._entry("gemm", dtype, variant, "nt")
        return entry.get("shapes", []), entry["log_errors"]

    def attention(self, dtype: str, variant: str) -> AttentionEfficiency:
        """Attention of many new tokens: `causal`, `full`, or `train` (forward and backward together)."""
        return _record(AttentionEfficiency, self._entry("attention", dtype, variant, "causal"))

    def decode_attention(self, dtype: str) -> tuple[DecodeAttentionEfficiency, float]:
        """Attention of one new token; and the head width that costs as much as what does not grow with it [1]."""
        entry = self._entry("attention", dtype, "decode", "decode", "decode_attention")
        return _record(DecodeAttentionEfficiency, entry), float(entry.get("head_dim_half", 0.0))

    def _entry(self, kind: str, dtype: str, variant: str, otherwise: str, table: str = "") -> Content:
        entries = self.constants[table or kind]
        for key in (f"{self.format(dtype)} {variant}", f"{self.format(dtype)} {otherwise}", f"fp32 {otherwise}"):
            if key in entries:
                found: Content = entries[key]
                return found
        raise InvalidInput(f"the profile of {self.name!r} holds no {kind} measurement. {REMEDY}")


def _record(kind: type[Constants], entry: Content) -> Constants:
    values = {name: entry[name] for name in kind._fields if name in entry}
    return kind(**values, evidence=Evidence("measured", float(entry["log_sd"]), "measured on this machine"))


@cached
def machine(name: str = LOCAL) -> LocalMachine:
    """The constants behind `local` or the name of a shared profile; with `-1-thread`, those of one thread."""
    content = profile(name)
    threads = "1" if name.endswith(ONE_THREAD) else str(content["threads"])
    if threads not in content["constants"]:
        raise InvalidInput(f"the profile of {name!r} was not measured with {threads} thread(s). {REMEDY}")
    drift = content["drift"]["down"], content["drift"]["up"]
    return LocalMachine(name, content["machine"]["kind"], content["constants"][threads], drift)


@cached
def local_accelerator(name: str = LOCAL) -> Accelerator:
    """A measured machine as an accelerator: its peaks are the highest rates that large products reached."""
    content, measured = profile(name), machine(name)
    about, memory = content["machine"], measured.constants["memory"]
    peaks = {
        key.split()[0]: entry["peak_flop_per_s"] for key, entry in measured.constants["gemm"].items() if " nt" in key
    }
    links = content.get("collectives", {})
    return Accelerator(
        name=name,
        title=about["title"],
        vendor=about.get("vendor", ""),
        generation="measured",
        kind=about["kind"],
        memory_bytes=about["memory_bytes"],
        memory_bandwidth_bytes_per_s=memory["bytes_per_s"],
        peak_flop_per_s=peaks,
        l2_bytes=about.get("cache_bytes"),
        sms=about.get("sms"),
        link="PCIe" if about["kind"] == "gpu" else "",
        link_bytes_per_s=links.get("bytes_per_s"),
        network_bytes_per_s=content.get("network", {}).get("bytes_per_s"),
        pcie_bytes_per_s=content.get("transfers", {}).get("pinned_bytes_per_s"),
        per_node=about.get("devices", 1),
        domain=about.get("devices", 1),
        basis="measured",
        sources=(Source(f"measured by estimator calibrate on {about['title']}", "measured", content["date"]),),
        note=f"{about.get('threads_note', '')}",
    )


def local_memory(name: str) -> MemoryEfficiency:
    """Element-wise passes over memory that no cache holds."""
    memory = machine(name).constants["memory"]
    return MemoryEfficiency(
        memory["bytes_per_s"], memory["launch_s"], Evidence("measured", 0.1, "measured on this machine")
    )
