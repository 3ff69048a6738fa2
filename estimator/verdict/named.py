"""The LLM of a run: by the name in its files, a path that ends in one, or the sizes that they give."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from estimator.catalog.models import architecture
from estimator.configs import Run
from estimator.configs.variables import open_name
from estimator.errors import InvalidInput, UnknownName, clipped
from estimator.formulas.transformer import params
from estimator.records import Architecture, Experts

ENDINGS = re.compile(r"\.(?:gguf|bin|safetensors|pt|pth|ckpt|nemo|fp16|f16)$", re.IGNORECASE)
MOST_DROPPED = 4  # words at the end of a name: dates, formats, stages of training
WORDS = re.compile(r"[-_](?=[^-_]*$)")
SIZED = re.compile(r"\d[mb](?:$|[^a-z])|moe|deepseek|\dt\b", re.IGNORECASE)
USUAL_VOCAB = 32_000
STORED = re.compile(r"(?:i?q[1-8](?:_[a-z0-9]+)*|awq|gptq|int[48]|fp8|nf4|[48]bit|mxfp4)(?![a-z0-9])")


def llm_of(run: Run, model: str | None, notes: list[str]) -> Architecture:
    """The LLM of a run; `model` instead where it is given. Raises InvalidInput where neither says which."""
    if model:
        return architecture(model)
    name = str(run.settings.get("model") or "")
    said: list[str] = []
    shaped = _shaped(run.settings, said)
    if not name or open_name(name):
        if shaped:
            notes += said
            return shaped
        raise InvalidInput(f"{_what(run)} does not name its LLM: give --model")
    size = run.settings.get("model_size")
    for words, exact in _readings(name, str(size or "")):
        try:
            found = architecture(words)
        except InvalidInput:
            continue
        if not exact:
            notes.append(f"{clipped(name, 60)} is taken for {found.name}: give --model where it is another")
        return found
    if shaped:
        notes += said
        return shaped
    return _unknown(name, run)


def _what(run: Run) -> str:
    return f"{', '.join(path.rpartition('/')[2] for path in run.files)} ({run.tool.title})"


def _unknown(name: str, run: Run) -> Architecture:
    try:
        return architecture(name.strip("/").rpartition("/")[2] if name.startswith(("/", ".")) else name)
    except UnknownName as error:
        guess = f" Did you mean {' or '.join(error.nearest[:2])}?" if error.nearest else ""
        raise InvalidInput(
            f"{_what(run)} trains or serves {clipped(name)}, whose shape is not known here.{guess} Give --model: a "
            "name (estimator catalog models) or a path to its config.json; --download fetches it from the hub."
        ) from None


def _readings(name: str, size: str) -> Iterator[tuple[str, bool]]:
    """Names to try, surest first, and whether one says it exactly."""
    text = ENDINGS.sub("", ENDINGS.sub("", name.strip().rstrip("/"))).removeprefix("hf://")
    last = text.rpartition("/")[2]
    if size:
        yield f"{last}-{size}", True
    if not text.startswith((".", "/", "~", "$")) and text.count("/") <= 1:
        yield text, True
    yield last, True
    yield re.sub(r"(?<=\d)_(?=\d+_)", ".", last), True
    whole = last
    for _ in range(MOST_DROPPED):
        cut = WORDS.search(last)
        if cut is None:
            return
        last = last[: cut.start()]
        if SIZED.search(last):
            yield from ((f"{last}-{name}", False) for name in _formats(whole[len(last) :]))
            yield last, False


def _formats(words: str) -> Iterator[str]:
    """Formats of weights that the dropped words of a name may say, as catalogues call them."""
    for found in STORED.findall(words.lower()):
        yield found
        if found.startswith("q"):
            yield f"{found[:2]}_0"


def _shaped(said: Mapping[str, Any], notes: list[str]) -> Architecture | None:
    """The LLM that sizes describe, as pre-training frameworks take them; None where they are not given."""
    if not all(said.get(name) for name in ("layers", "hidden", "heads")):
        return None
    hidden, heads, gated = int(said["hidden"]), int(said["heads"]), bool(said.get("gated", False))
    vocab = said.get("vocab")
    if not vocab:
        notes.append(f"no vocabulary is given: {USUAL_VOCAB:,} tokens are assumed")
    usual = hidden * float(said.get("ffn_ratio") or 0) or (64 * -(-hidden * 8 // 192) if gated else 4 * hidden)
    experts = None
    if said.get("experts"):
        experts = Experts(
            int(said["experts"]),
            int(said.get("experts_per_token") or 2),
            int(said.get("expert_ffn") or said.get("ffn") or usual),
        )
    arch = Architecture(
        name="",
        layers=int(said["layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(said.get("kv_heads") or heads),
        head_dim=int(said.get("head_dim") or max(hidden // heads, 1)),
        ffn=int(said.get("ffn") or usual),
        vocab=int(vocab or USUAL_VOCAB),
        gated_mlp=gated,
        tied_embeddings=bool(said.get("tied", False)),
        experts=experts,
        basis="assumed",
    )
    return arch._replace(name=f"{params(arch) / 1e9:.3g}B of {arch.layers} layers")
