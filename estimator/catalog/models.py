"""Language models by name: a preset (`llama-3.1-8b`, a hub id), a bare size (`7b`, `3.5b`), a config.json.

A name may end in the format it is stored in (`Qwen/Qwen3-14B-AWQ`, `qwen3-14b:Q4_K_M`): presets/name_suffixes.csv.
"""

import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from estimator.catalog.files import cached, count, number, preset_files, recent, rows
from estimator.catalog.formats import formats, stored
from estimator.catalog.own_code import own_code
from estimator.catalog.precisions import known_precisions
from estimator.catalog.shapes import MOST_PARAMS, checked, scaled
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.files import may_be_read
from estimator.formulas.transformer import params
from estimator.numerals import numeral
from estimator.paths import presets
from estimator.records import Architecture, Experts, LatentAttention, Source

REMEDY = "Give a size such as 7b, a name (estimator catalog models lists them) or a path to a config.json."
REQUIRED = ("name", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
SIZE = re.compile(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+|nan|inf)(?:e[+-]?\d+)?)\s*(m|b|bn|t)(?:[\s-]*param(?:eter)?s?)?")
UNITS = {"m": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12}
LEAST_PARAMS = 20e6
TUNED = ("meta-", "instruct", "chat", "hf", "it")  # in a name that may say how it was tuned
SEPARATORS = str.maketrans("-_:", "   ")
QK_NORM: dict[str, Literal["", "head", "full"]] = {"head": "head", "full": "full"}


def architecture(name: str) -> Architecture:
    """The shape that `name` means.

    A bare size stands for a documented shape (presets/sizes.csv: 7b is mistral-7b-v0.3, 8b and 70b are llama-3.1) or,
    at any other size, for the nearest of its family scaled to it and marked assumed.

    >>> architecture("7b").name, architecture("meta-llama/Llama-3.1-8B-Instruct").name
    ('mistral-7b-v0.3', 'llama-3.1-8b')
    >>> architecture("Qwen/Qwen3-14B-AWQ").name, architecture("Qwen/Qwen3-14B-AWQ").published.attention
    ('qwen3-14b', 'awq')
    >>> architecture("3.5b").basis, round(params(architecture("3.5b")) / 1e9, 2)
    ('assumed', 3.5)
    """
    text = name.strip()
    size = SIZE.fullmatch(text.lower()[:100])
    if size:
        return _of_size(text.lower(), _size(size[1], size[2], name))
    found = _named(text)
    if found:
        return found
    path = _config_path(text) if text else None
    if path:
        return _read(path)
    return _of_the_hub(name)


@cached
def architecture_names() -> tuple[str, ...]:
    """Names of all presets, the user's first."""
    return tuple(dict.fromkeys(row["name"] for row in (*_llm_rows(), *_readable_configs())))


@cached
def preset(name: str) -> Architecture:
    """The preset called exactly `name`."""
    for row in _llm_rows():
        if row["name"] == name:
            return _record(row)
    for row in _preset_rows("derived_llms.csv"):
        if row["name"] == name:
            return _derived(row)
    for row in _preset_rows("configs.csv"):
        if row["name"] == name:
            return _configured(row)
    raise UnknownName("language model", name, architecture_names(), REMEDY)


def hub_id(name: str) -> str:
    """What the hub calls a preset; its own name where that is not known.

    >>> hub_id("llama-3.1-8b")
    'meta-llama/Meta-Llama-3.1-8B'
    """
    rows_with_id = (*_llm_rows(), *_preset_rows("configs.csv"))
    return next((row["hf_id"] for row in rows_with_id if row["name"] == name and row.get("hf_id")), name)


@cached
def _llm_rows() -> list[dict[str, str]]:
    return [row for path in preset_files("llms.csv") for row in rows(path, REQUIRED)]


@cached
def _preset_rows(file: str) -> list[dict[str, str]]:
    return rows(presets() / file)


def thinks(name: str) -> str:
    """When an LLM of this name thinks before it answers: `always`, `unless told not to`; empty where nothing is known.

    >>> thinks("deepseek-r1"), thinks("qwen3-8b"), thinks("llama-3.1-8b")
    ('always', 'unless told not to', '')
    """
    known = _preset_rows("thinking_llms.csv")
    return next((row["thinks"] for row in known if fnmatchcase(name, row["match"])), "")


def _derived(row: dict[str, str]) -> Architecture:
    """A tuned LLM, of the shape it was tuned from."""
    shape = preset(row["of"])
    return shape._replace(
        name=row["name"],
        max_context=int(row["max_context"]) if row["max_context"] else shape.max_context,
        sources=(*shape.sources, Source(row["source"], row["source_kind"], row["read_on"])),
        own_code=own_code(row["name"]),
        note="; ".join(filter(None, (f"the shape of {row['of']}", shape.note))),
    )


def _configured(row: dict[str, str]) -> Architecture:
    """A preset whose config.json ships."""
    read = _read(presets() / "configs" / f"{row['name']}.json")
    source = Source(row["source"], row["source_kind"], row["read_on"])
    basis = "assumed" if row["source_kind"] == "recalled" else read.basis
    return read._replace(
        name=row["name"], sources=(source,), basis=basis, note="; ".join(filter(None, (read.note, row["note"])))
    )


def _readable_configs() -> list[dict[str, str]]:
    from estimator.catalog.hf_config import model_types

    return [row for row in _preset_rows("configs.csv") if row["model_type"] in model_types()]


def _read(path: Path) -> Architecture:
    from estimator.catalog.hf_config import read_config  # rarely asked for, and slower to load than to run

    return read_config(path)


@cached
def _presets() -> dict[str, str]:
    """From every spelling of a name to the preset's name; the first row wins."""
    spellings: dict[str, str] = {}
    for row in (*_llm_rows(), *_preset_rows("derived_llms.csv"), *_preset_rows("configs.csv")):
        for text in (row["name"], row.get("hf_id", ""), *row.get("aliases", "").split(";")):
            if text:
                spellings.setdefault(_key(text), row["name"])
    return spellings


@recent(1024)
def _named(text: str) -> Architecture | None:
    """The preset that a name means, in the format that the end of the name says."""
    for base, format_name in _readings(text):
        found = _presets().get(_key(base))
        if found and format_name:
            llm = preset(found)
            return llm._replace(
                published=stored(llm, format_name), note="; ".join(filter(None, (_said(text), llm.note)))
            )
        if found:
            return preset(found)
    return None


def _said(text: str) -> str:
    return f"stored as {clipped(text)} says"


def _readings(text: str) -> Iterator[tuple[str, str]]:
    """A name with nothing, then ever more of its ends taken for what it is stored in; the last format said counts."""
    base, format_name = text, ""
    yield base, format_name
    while True:
        found = next(((at, end) for at, end in _ends(base) if end in _suffixes()), None)
        if found is None:
            return
        base, format_name = base[: found[0]], format_name or _suffixes()[found[1]]
        yield base, format_name


def _ends(text: str) -> Iterator[tuple[int, str]]:
    """The last three, two and one words of a name, and where they begin."""
    cuts = [found.start() for found in re.finditer(r"[-:./ ]", text)][-3:]
    for at in cuts:
        yield at, re.sub(r"[:./ ]", "-", text[at + 1 :].lower())


@cached
def _suffixes() -> dict[str, str]:
    """From what a name may end in to the format it says; to nothing where it says none."""
    known = {name: name for name in known_precisions() if re.search(r"\d|awq|gptq", name)}
    return known | {row["suffix"]: row["format"] for row in _preset_rows("name_suffixes.csv")}


def _of_the_hub(name: str) -> Architecture:
    """The LLM of a hub id that no preset has: its config.json, where downloads were asked for."""
    from estimator.catalog.hub import config_file, how_to_get, is_hub_id

    if not is_hub_id(name):
        raise UnknownName("language model", name, architecture_names(), REMEDY)
    path = config_file(name)
    if path is None:
        raise UnknownName("language model", name, architecture_names(), how_to_get(name))
    return _read(path)._replace(name=name.strip().rpartition("/")[2].lower())


def _key(name: str) -> str:
    """A name without maker, case, separators and tuning suffix; dots stay, they tell qwen2.5-7b from qwen2-57b."""
    last = name.lower().strip("/ ").rpartition("/")[2][:200]
    if any(mark in last for mark in TUNED):
        last = re.sub(r"^meta-|[-_](?:instruct|chat|hf)(?=[-_]|$)|[-_]it$", "", last)
    return "".join(last.translate(SEPARATORS).split())


def _size(digits: str, unit: str, name: str) -> float:
    value = (numeral(digits) or 0.0) * UNITS[unit]
    if not LEAST_PARAMS <= value <= MOST_PARAMS:
        raise InvalidInput(
            f"a model size must lie between {LEAST_PARAMS / 1e6:g}m and {MOST_PARAMS / 1e12:g}t, not {clipped(name)}"
        )
    return value


@cached
def _of_size(text: str, target: float) -> Architecture:
    listed = [row for path in preset_files("sizes.csv")[:1] for row in rows(path, ("size", "llm", "role"))]
    for row in listed:
        if row["role"] != "ladder" and _ladder_size(row) == target:
            note = "; ".join(filter(None, (f"{row['size']} stands for {row['llm']}", row["note"])))
            return preset(row["llm"])._replace(note=note)
    ladder = (preset(row["llm"]) for row in listed if row["role"] != "named for")  # of one family, to be scaled
    nearest = min(ladder, key=lambda arch: _far(arch, target))
    note = f"no preset has this size: the shape of {nearest.name} scaled to {text}"
    return scaled(nearest, target, text)._replace(note=note)


def _ladder_size(row: dict[str, str]) -> float:
    found = SIZE.fullmatch(row["size"].lower())
    if found is None:
        raise InvalidInput(f"sizes.csv: size must be one such as 7b, not {clipped(row['size'])}")
    return _size(found[1], found[2], row["size"])


def _far(arch: Architecture, target: float) -> float:
    """Distance in size, as a ratio of at least 1."""
    ratio = params(arch) / target
    return max(ratio, 1 / ratio)


def _config_path(text: str) -> Path | None:
    """The config.json that a text points at, if it points at any file."""
    if not may_be_read(text):
        return None
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return path / "config.json"
        if path.is_file() or path.suffix == ".json" or text.startswith((".", "/", "~")):
            return path
    except (OSError, ValueError, RuntimeError):
        return None
    return None


def _experts(count: Callable[[str], int | None]) -> Experts:
    return Experts(
        experts=count("experts") or 0,
        per_token=count("experts_per_token") or 0,
        ffn=count("expert_ffn") or 0,
        shared=count("shared_experts") or 0,
        first_dense_layers=count("first_dense_layers") or 0,
        layer_every=count("moe_layer_every") or 1,
    )


def _latent(count: Callable[[str], int | None]) -> LatentAttention:
    return LatentAttention(
        q_lora_rank=count("q_lora_rank") or 0,
        kv_lora_rank=count("kv_lora_rank") or 0,
        qk_nope_head_dim=count("qk_nope_head_dim") or 0,
        qk_rope_head_dim=count("qk_rope_head_dim") or 0,
        v_head_dim=count("v_head_dim") or 0,
    )


def _record(row: dict[str, str]) -> Architecture:
    where = f"llms.csv, {row['name']}"

    def stated(column: str) -> int | None:
        return count(row.get(column, ""), f"{where}: {column}")

    def needed(column: str) -> int:
        value = stated(column)
        if value is None:
            raise InvalidInput(f"{where}: {column} is empty")
        return value

    published = number(row.get("params_published", ""), f"{where}: params_published")
    kind = row.get("source_kind") or "read"
    arch = Architecture(
        name=row["name"],
        layers=needed("layers"),
        hidden=needed("hidden"),
        heads=needed("heads"),
        kv_heads=needed("kv_heads"),
        head_dim=needed("head_dim"),
        ffn=needed("ffn"),
        vocab=needed("vocab"),
        gated_mlp=row.get("gated_mlp", "1") != "0",
        tied_embeddings=row.get("tied_embeddings") == "1",
        kind="encoder" if row.get("kind") == "encoder" else "decoder",
        max_context=stated("max_context"),
        sliding_window=stated("sliding_window"),
        global_layers=stated("global_layers"),
        experts=_experts(stated) if stated("experts") else None,
        latent=_latent(stated) if stated("kv_lora_rank") else None,
        norm_bias=row.get("norm") == "ln",
        qkv_bias=row.get("qkv_bias") == "1",
        out_bias=row.get("out_bias") == "1",
        mlp_bias=row.get("mlp_bias") == "1",
        qk_norm=QK_NORM.get(row.get("qk_norm", ""), ""),
        norms_per_layer=stated("norms_per_layer") or 2,
        learned_positions=(stated("positions") or 0) if row.get("positions", "")[:1].isdigit() else 0,
        params_published=published,
        basis="assumed" if kind == "recalled" else "published",
        sources=(Source(row.get("source") or "the user's llms.csv", kind, row.get("read_on", "")),),
        note=row.get("note", ""),
        published=formats(row.get("published") or "bf16"),
        own_code=own_code(row["name"]),
    )
    return checked(arch, where)
