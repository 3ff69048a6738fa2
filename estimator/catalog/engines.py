"""Facts about serving engines, and the constants fitted for serving."""

import json
from functools import cache
from typing import Literal, NamedTuple

from estimator.catalog.cases import file_hash
from estimator.catalog.files import Content
from estimator.errors import InvalidInput
from estimator.paths import data_folder, presets, toml
from estimator.records import Accelerator, Source

KINDS = {"gpu": "GPUs", "soc": "systems on a chip", "cpu": "CPUs", "tpu": "TPUs", "asic": "ASICs"}


class Limits(NamedTuple):
    """Most tokens of a step, over HTTP and in process [token], and most sequences [1], by default."""

    prefill_chunk: int
    offline_chunk: int
    max_sequences: int
    gib: float = 0.0  # of an accelerator for which they hold, at least
    but: tuple[str, ...] = ()  # accelerators for which they do not


class Engine(NamedTuple):
    """How a serving engine works, as far as it changes times and memory.

    launch: how a step's kernels are started; kernels: of what kind they are
    unpack: when narrow weights are widened to 16 bits before a product, or that they are multiplied as integers
    accumulates: what 16-bit products are summed in
    scheduling: whether prompts share steps with decoding, come in passes of their own beside them, or go first
    host: what takes requests in: Python beside an engine process, or in one loop with it, a C++ (or Rust) server, or
        the script that runs it
    all_reduce: whether short messages have a kernel of their own
    preempts: whether it admits requests by cache in use and preempts them when there is no more; else it reserves
        whole lengths
    adapter_graphs: whether steps with unmerged adapters are replayed as graphs
    whole_length: whether attention goes over the length that programs were compiled for, however much of it is there
    beside_experts: format in which its files hold matrices of 16 bits where the experts are packed; as published: ""
    windowed: whether layers with a sliding window keep the cache of that window alone, or of the whole sequence
    memory_fraction: share of the accelerator's memory it lets itself use [1]; fraction_of: of all memory, for weights
        and cache alone (static), or of what weights and activations leave (free)
    sampling_bytes: what sampling takes of memory per logit of a step [B]
    prefill_chunk: most tokens of one forward pass of a prompt [token]; max_sequences: most in one step [1]
    large: both on large accelerators, where they differ there
    vendors, kinds: of the accelerators it has kernels for; all where it is none
    family: the listed engine it is or is a shell of, the key of its fitted factor; known: whether it is listed
    """

    name: str
    family: str
    launch: Literal["graph", "steps", "native", "fused", "script", "eager"]
    kernels: Literal["engine", "simple", "ggml", "torch"]
    batching: Literal["continuous", "static"]
    scheduling: Literal["mixed", "beside", "prompts-first"]
    host: Literal["python", "loop", "native", "script"]
    all_reduce: Literal["custom", "library"]
    memory_fraction: float
    prefill_chunk: int
    max_sequences: int
    unpack: Literal["never", "integers", "prompt", "always"]
    accumulates: Literal["fp32", "fp16"]
    year: float
    fraction_of: Literal["all", "static", "free"] = "all"
    sampling_bytes: float = 8.0
    offline_chunk: int = 0
    large: Limits | None = None
    preempts: bool = False
    windowed: bool = True
    layer_split: bool = False
    offloads: bool = False
    beside_experts: str = ""
    host_layers: bool = False
    adapter_graphs: bool = True
    whole_length: bool = False
    vendors: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    known: bool = True
    source: Source | None = None

    def limits(self, device: Accelerator) -> Limits:
        """What a step holds at most on such an accelerator, unless more or less is asked for.

        >>> from estimator.catalog.accelerators import accelerator
        >>> [engine("vllm").limits(accelerator(name)).max_sequences for name in ("h100", "a100", "l4")]
        [1024, 256, 256]
        """
        large = self.large
        if large and device.memory_bytes >= large.gib * 2**30 and not any(name in device.name for name in large.but):
            return large
        return Limits(self.prefill_chunk, self.offline_chunk or self.prefill_chunk, self.max_sequences)

    def check_runs_on(self, device: Accelerator) -> None:
        """Raise InvalidInput where it has no kernels for an accelerator.

        >>> from estimator.catalog.accelerators import accelerator
        >>> engine("tensorrt-llm").check_runs_on(accelerator("h100"))
        >>> engine("tensorrt-llm").check_runs_on(accelerator("apple-m4"))
        Traceback (most recent call last):
        estimator.errors.InvalidInput: tensorrt-llm does not run on Apple M4, but on NVIDIA's: take another engine
        """
        whose, what = self.vendors or (device.vendor,), self.kinds or (device.kind,)
        if device.vendor not in whose or device.kind not in what:
            on = " and ".join([f"{one}'s" for one in self.vendors] or [KINDS[one] for one in what])
            raise InvalidInput(f"{self.name} does not run on {device.title}, but on {on}: take another engine")


@cache
def engine(name: str, year: float | None = None) -> Engine:
    """The facts about an engine; one that is not listed gets the default's, and says so with `known = False`.

    year: of the release, where it is an older one: how it then was

    >>> engine("vllm").launch, engine("trt-llm").family, engine("my-own-server").known
    ('steps', 'tensorrt-llm', False)
    """
    tables = _tables()
    key = name.strip().lower().replace(" ", "-").replace("_", "-")
    key = tables["alias"].get(key, key)
    known = key in tables["engine"] and key != "default"
    entry = _resolved(key if known else "default", tables["engine"])
    for then in entry.pop("older", ()):
        if year is not None and year < then["before"]:
            entry |= {name: fact for name, fact in then.items() if name not in ("before", "source")}
    source = tables["source"][entry.pop("source")]
    entry |= {name: tuple(entry[name]) for name in ("vendors", "kinds") if name in entry}
    if large := entry.pop("large", None):
        kept = {name: value for name, value in large.items() if name != "source"}
        entry["large"] = Limits(**kept | {"but": tuple(large["but"])})
    return Engine(**{"name": name, "family": key, "known": known, "source": source, **entry})


class Draft(NamedTuple):
    """What proposes tokens in speculative decoding: layers like the LLM's own and its output projection, run again for
    each token; or an LLM of a share of its weights.
    """

    layers: float = 0.0
    head: bool = False
    share: float = 0.0


@cache
def drafts() -> dict[str, Draft]:
    """Kinds of drafts by name."""
    return {name: Draft(**entry) for name, entry in _tables()["draft"].items()}


def known_engines() -> tuple[str, ...]:
    """Listed engines, without aliases."""
    return tuple(name for name in _tables()["engine"] if name != "default")


def _resolved(key: str, engines: dict[str, Content]) -> Content:
    """An entry over the one it is `like`, over the default."""
    entry = dict(engines[key])
    base = entry.pop("like", "default")
    return entry if key == "default" else {**_resolved(base, engines), **entry}


@cache
def _tables() -> Content:
    tables = toml((presets() / "engines.toml").read_text(encoding="utf-8"))
    tables["source"] = {row["id"]: Source(row["title"], row["kind"]) for row in tables["source"]}
    return tables


@cache
def serving_fit() -> Content:
    """The generated constants of serving: parameters, engine factors and residual quantiles."""
    return _generated("serving")


@cache
def serving_folds() -> dict[str, dict[str, float]]:
    """The same constants with each source left out, by what is left out; most of what was fitted, and seldom asked."""
    folds: dict[str, dict[str, float]] = _generated("serving_folds")["folds"]
    return folds


def _generated(name: str) -> Content:
    content: Content = json.loads((data_folder("calibration") / "fitted" / f"{name}.json").read_text("utf-8"))
    return content


@cache
def serving_priors() -> dict[str, Content]:
    """Constants of serving before any fit: prior, log_sd, unit, meaning by name."""
    priors: dict[str, Content] = toml((presets() / "serving_constants.toml").read_text("utf-8"))["constant"]
    return priors


def serving_inputs_hash() -> str:
    """Changes with anything the fit of serving rests on: runs, kernel constants, facts about engines, priors."""
    calibration = data_folder("calibration")
    files = [calibration / "published" / "inference.csv", calibration / "fitted" / "kernels.json"]
    files += [presets() / name for name in ("engines.toml", "precisions.toml", "serving_constants.toml")]
    return " ".join(file_hash(path) for path in files)
