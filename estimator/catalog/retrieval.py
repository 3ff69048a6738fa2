"""Facts about text and vector search: tokens, formats, defaults, vendors' rules and prices, hosts, fitted rates."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from estimator.catalog.files import Content, cached, number, recent, rows, source_of, table
from estimator.catalog.prices.hourly import quantile
from estimator.errors import InvalidInput, MissingExtra, UnknownName, clipped
from estimator.files import files_under, is_file, may_be_read, read_text, shown
from estimator.formulas.corpus import tokens_from_bytes
from estimator.formulas.retrieval import SearchRates
from estimator.paths import data_folder, presets, user_data_folder
from estimator.quantities import Z80
from estimator.records import Basis, Source

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RULE_COLUMNS = ("engine", "encoding", "index", "factor", "bytes_per_dim", "bytes_per_m", "bytes_fixed")


class Host(NamedTuple):
    """A machine that searches vectors.

    cores: as its maker counts them, hyper-threads included [1]
    memory_bandwidth_bytes_per_s: of all its cores together [B/s]
    speed: of one core searching graphs, against the machine the constants are stated for [1]
    family: kind of machine, `default` when it is not recognised
    rates: constants measured on it; `None` takes the fitted ones at its speed
    spread: how far off those are
    idle_speed: of a core whose sibling is free, against one whose sibling is busy [1]
    round_trip_s: of the network between it and whoever asks a server on it [s]
    """

    name: str
    cores: float
    memory_bandwidth_bytes_per_s: float
    memory_bytes: float | None = None
    speed: float = 1.0
    family: str = "default"
    rates: SearchRates | None = None
    basis: Basis = "published"
    note: str = ""
    spread: "HostSpread | None" = None
    idle_speed: float = 1.0
    round_trip_s: float = 0.0


class HostSpread(NamedTuple):
    """How far off the constants of a measured machine are.

    build, query: standard deviation of the log errors of indexes left out of the fit [1]
    down, up: 80 % half widths of the machine's drift, in ln [1]; vectors: of the largest index that was measured [1]
    """

    build: float
    query: float
    down: float
    up: float
    vectors: float


class VendorRule(NamedTuple):
    """factor x n x (bytes_per_dim d + bytes_per_m M + bytes_fixed) in memory; originals on disk as well if so."""

    engine: str
    encoding: str
    index: str  # type: ignore[assignment]  # hides the method of tuples
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
def _preset() -> Content:
    return table(presets() / "retrieval.toml")


def default(name: str) -> float:
    """A default of vector indexes, SI.

    >>> default("m")
    16.0
    """
    return float(_preset()["default"][name]["value"])


def default_source(name: str) -> Source:
    """Where a default comes from.

    >>> default_source("client_value_s").kind
    'measured'
    """
    named = _preset()["default"][name]["source"]
    return next(
        Source(one["title"], one["kind"], one.get("date", "")) for one in _preset()["source"] if one["id"] == named
    )


def code_bits() -> dict[str, float]:
    """Bits one dimension takes in the codes of compressed vectors.

    >>> code_bits()["sq6"]
    6.0
    """
    return {code: float(entry["value"]) for code, entry in _preset()["code_bits"].items()}


def code_build() -> dict[str, float]:
    """Building a graph on codes over building it on float32, as measured elsewhere [1].

    >>> code_build()["sq8"]
    0.8
    """
    return {code: float(entry["value"]) for code, entry in _preset()["code_build"].items()}


class Limit(NamedTuple):
    """Dimensions an engine's index takes at most [1], and what to do about more."""

    dims: float
    remedy: str


def limit(engine: str, structure: str, dtype: str) -> Limit | None:
    """What an engine's index of vectors in a number format takes at most; None where nothing is known.

    >>> limit("pgvector", "hnsw", "float32").dims
    2000.0
    """
    for entry in _preset()["limit"]:
        if entry["engine"] == engine and structure in entry["structures"] and dtype in entry["dims"]:
            return Limit(float(entry["dims"][dtype]), entry["remedy"])
    return None


class Offer(NamedTuple):
    """Structures of an index that a database offers, and codes or number formats of its vectors."""

    structures: tuple[str, ...]
    codes: tuple[str, ...]


def offer(engine: str) -> Offer | None:
    """What indexes a database offers; None where nothing is known.

    >>> offer("qdrant").structures
    ('flat', 'hnsw')
    """
    found = (entry for entry in _preset()["offer"] if entry["engine"] == engine)
    return next((Offer(tuple(entry["structures"]), tuple(entry["codes"])) for entry in found), None)


class Workings(NamedTuple):
    """How a database works: its protocol, http or binary; vectors read through a buffer; compared without SIMD."""

    protocol: str = "http"
    paged: bool = False
    plain: bool = False


def workings(engine: str) -> Workings:
    """How a database works; as most do where nothing else is known.

    >>> workings("pgvector").paged, workings("milvus").protocol
    (True, 'http')
    """
    for entry in _preset()["engine"]:
        if entry["engine"] == engine:
            return Workings(**{name: value for name, value in entry.items() if name in Workings._fields})
    return Workings()


class Segments(NamedTuple):
    """Pieces of an engine's index; at_once: a query searches them in parallel.

    bytes_each, bytes_per_core: most that one holds, at all and for each core [B]
    per_core: so many a core, between least and most [1]
    """

    bytes_each: float = float("inf")
    bytes_per_core: float = float("inf")
    per_core: float = 0.0
    least: float = 1.0
    most: float = 1.0
    at_once: bool = False


def segments_of(engine: str) -> Segments:
    """How an engine divides an index; into one piece where nothing is known.

    >>> segments_of("qdrant").per_core, segments_of("faiss").per_core
    (0.5, 0.0)
    """
    for entry in _preset()["segments"]:
        if entry["engine"] == engine:
            figures = {name: value for name, value in entry.items() if name in Segments._fields}
            return Segments(**figures)
    return Segments()


def filtered_walk(engine: str) -> str:
    """How an engine's graph is searched under a filter: `linked`, `continued`, or `any` where nobody measured it.

    linked: along links among the vectors that pass; continued: on, until enough of those met have passed

    >>> filtered_walk("qdrant"), filtered_walk("faiss")
    ('linked', 'any')
    """
    return next((entry["walk"] for entry in _preset()["filter"] if entry["engine"] == engine), "any")


def latency_over_mean(load: str) -> dict[float, float]:
    """Latency of a share of the queries over its mean [1], `alone` or `full`.

    >>> latency_over_mean("full")[0.99]
    1.8
    """
    entry = _preset()["latency"][load]
    return {0.5: float(entry["p50"]), 0.9: float(entry["p90"]), 0.95: float(entry["p95"]), 0.99: float(entry["p99"])}


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

    `local` is the machine at hand, once its indexes were measured. Raises InvalidInput before that.

    >>> host("GCP n4-highmem-16, 16 vCPU, 128 GB").cores
    16.0
    >>> host("my server").basis
    'assumed'
    """
    text = description.strip().lower()
    if text == "local":
        return _local_host()
    entry = _host_entry(text)
    speeds: dict[str, float] = retrieval_fit()["machine_speed"]
    stated, family = _cores(text), str(entry["names"][0])
    measured = family in speeds
    cores = stated or float(_preset()["default_cores"]["value"])
    bandwidth = _stated(r"(\d+(?:\.\d+)?)\s*gb/s", text, 1e9)
    return Host(
        name=description or "a server",
        cores=cores,
        memory_bandwidth_bytes_per_s=bandwidth or cores * float(entry["bandwidth_bytes_per_s_per_core"]),
        memory_bytes=_stated(r"(\d+(?:\.\d+)?)\s*gi?b(?!/)", text, 2.0**30),
        speed=speeds.get(family, speeds["unknown"]),
        family=family,
        basis="published" if measured and stated else "assumed",
        note="" if measured else "no measurement of this processor: the mean of those measured",
        idle_speed=1.0 if cores == 1 else default("idle_speed"),
        round_trip_s=0.0
        if re.search(r"server ?\+ ?client|client on the same|same machine", text)
        else default("round_trip_s"),
    )


def _host_entry(text: str) -> Content:
    entries: list[Content] = _preset()["host"]
    return next((entry for entry in entries if any(name in text for name in entry["names"])), entries[-1])


def _cores(text: str) -> float | None:
    if re.search(r"\bsingle[- ](?:thread|core)", text):
        return 1.0
    return _stated(r"(\d+)\s*-?\s*(?:v?cpus?|v?cores?|threads?)\b", text) or _stated(r"\b(\d+)c\d+g\b", text)


def _stated(pattern: str, text: str, unit: float = 1.0) -> float | None:
    found = re.search(pattern, text)
    return float(found[1]) * unit if found else None


def local_host_path() -> Path:
    """Where the measured indexes of the machine at hand are kept."""
    return user_data_folder() / "vector_index.json"


def _local_host() -> Host:
    if local_host_path().is_file():
        return measured_host(local_host_path())
    if found := measured_index():
        return found
    raise InvalidInput(
        "the vector indexes of this machine were not measured yet. Run `estimator calibrate --suite index`."
    )


def measured_index(name: str = "local") -> Host | None:
    """A calibrated machine as a host of vector indexes; None when its profile has none or there is no profile."""
    from estimator.catalog.local import profile, profile_path  # only where a machine was measured

    if profile_path(name) is None or "index" not in (content := profile(name)):
        return None
    try:
        cores, found = float(content["machine"]["cores"]), content["index"]
        rates = SearchRates(**found["rates"])
        largest = float(max(run["vectors"] for run in found["runs"]))
        drift = {end: max(Z80 * found["noise"], content["drift"][end]) for end in ("down", "up")}
        spread = HostSpread(**found["log_sd"], **drift, vectors=largest)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the vector index in the profile {name} is damaged ({clipped(str(error))})") from None
    bandwidth, memory = cores * rates.scan_bytes_per_s, content["machine"]["memory_bytes"]
    return Host(name, cores, bandwidth, memory, family="measured", rates=rates, basis="measured", spread=spread)


def measured_host(path: str | Path) -> Host:
    """A machine as `estimator.measure.index.save` wrote it, with its own constants.

    Raises InvalidInput when the file cannot be read or holds something else.
    """
    text = read_text(path, "profile")
    try:
        machine = json.loads(text)["machine"]
        return Host(**{**machine, "rates": SearchRates(**machine["rates"])})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{clipped(str(path))} is not a measured machine: {clipped(str(error))}") from None


def fit_file() -> Path:
    """The generated constants of vector search."""
    return data_folder("calibration") / "fitted" / "retrieval.json"


@cached
def retrieval_fit() -> Content:
    """Fitted groups (`server`, `library`), their reference clocks, residual quantiles and folds."""
    fitted: Content = json.loads(fit_file().read_text("utf-8"))
    return fitted


def fitted_rates(group: str) -> SearchRates:
    """Search rates of a group or of a measured database, on a machine of speed 1."""
    own = retrieval_fit()["databases"].get(group)
    return SearchRates(**(own or retrieval_fit()["groups"][group]["rates"]))


class TextRatio(NamedTuple):
    """Tokens a tokenizer makes of a kind of text. known: whether this very pair was counted."""

    tokens_per_word: float
    bytes_per_token: float
    known: bool
    source: Source


def text_kinds() -> tuple[str, ...]:
    """Kinds of text that were counted."""
    return tuple(dict.fromkeys(row["text_kind"] for row in _text_rows()))


def tokenizers() -> tuple[str, ...]:
    """Tokenizers whose tokens were counted."""
    return tuple(dict.fromkeys(row["tokenizer"] for row in _text_rows()))


@recent(256)
def text_ratio(text_kind: str = "english prose", tokenizer: str = "") -> TextRatio:
    """Counted ratios of a tokenizer; for one that was not counted, the median of those that were.

    >>> text_ratio("english prose", "llama3").tokens_per_word
    1.211
    >>> text_ratio("python code", "some-new-tokenizer").known
    False
    """
    kind = [row for row in _text_rows() if row["text_kind"] == text_kind.lower()]
    if not kind:
        raise UnknownName("kind of text", text_kind, text_kinds(), f"Known are {', '.join(text_kinds())}.")
    own = [row for row in kind if row["tokenizer"] == tokenizer.lower().replace("-", "_")]
    per_word, per_token = (
        quantile((float(row[column]) for row in own or kind), 0.5) for column in ("tokens_per_word", "bytes_per_token")
    )
    return TextRatio(per_word, per_token, bool(own), source_of(kind[0]))


@cached
def _text_rows() -> list[dict[str, str]]:
    return rows(presets() / "text_tokens.csv", ("text_kind", "tokenizer", "tokens_per_word", "bytes_per_token"))


class Corpus(NamedTuple):
    """A measured folder or file. counted: by the tokenizer itself, not by a ratio; pages: 0 where none has any."""

    documents: int
    text_bytes: int
    words: int
    tokens: float
    counted: bool
    pages: int = 0
    scanned: int = 0


PLAIN = frozenset((".txt", ".md", ".rst", ".csv", ".json", ".jsonl", ".xml", ".py", ".tex", ""))


def measure_corpus(
    path: str | Path, tokenizer_json: str | Path | None = None, text_kind: str = "english prose"
) -> Corpus:
    """Documents, bytes, words, tokens and pages under a path; tokens by the user's tokenizer if given, else by ratios.

    Raises InvalidInput when nothing readable lies there, MissingExtra when a reader or `tokenizers` is not installed.
    """
    from estimator.catalog.documents import READERS, read_document  # only where a corpus is read

    for named in (path, tokenizer_json):
        if named is not None and not may_be_read(named):
            raise InvalidInput("files of this machine are not read here: give corpus_gb instead of a corpus")
    kinds = PLAIN | READERS.keys()
    count = None if tokenizer_json is None else token_counter(tokenizer_json)
    documents = size = words = tokens = pages = scanned = 0
    for file in files_under(path, kinds):  # one in memory at a time
        found = read_document(file)
        documents, size, words = documents + 1, size + len(found.text.encode()), words + len(found.text.split())
        tokens += count(found.text) if count else 0
        pages, scanned = pages + (found.pages or 0), scanned + found.scanned
    if not documents:
        raise InvalidInput(f"no text files at {clipped(str(path))}; read are {', '.join(sorted(kinds)[1:])}")
    counted = float(tokens) if count else float(tokens_from_bytes(size, text_ratio(text_kind).bytes_per_token))
    return Corpus(documents, size, words, counted, count is not None, pages, scanned)


def token_counter(path: str | Path) -> Callable[[str], int]:
    """How many tokens a text is to the tokenizer of a tokenizer.json. Raises MissingExtra without `tokenizers`."""
    try:
        from importlib import import_module

        tokenizers = import_module("tokenizers")
    except ImportError:
        raise MissingExtra("tokenizers", "tokenizers") from None
    if not is_file(path):
        raise InvalidInput(f"no tokenizer.json at {shown(path)}")

    def count(text: str) -> int:
        try:
            return len(found.encode(text, add_special_tokens=False).ids)
        except Exception as error:  # the library raises bare Exception
            raise InvalidInput(f"{shown(path)} cannot count tokens: {clipped(str(error))}") from None

    text = read_text(path, "tokenizer")
    try:
        found: Tokenizer = tokenizers.Tokenizer.from_str(text)
    except Exception as error:
        raise InvalidInput(f"{shown(path)} is not a tokenizer.json: {clipped(str(error))}") from None
    return count
