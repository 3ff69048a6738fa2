"""Every causal and encoder class of `transformers`, against our reading of its config.json.

On the meta device: parameters. Run tiny on the CPU: bytes of the real cache by tokens, window and state, and FLOP.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'measure'")
pytest.importorskip("transformers", "5.24", reason="needs the extra 'dev', as new as its types")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from estimator.catalog.hf_config import architectures  # noqa: E402
from estimator.formulas import transformer  # noqa: E402
from estimator.records import Architecture  # noqa: E402
from tests.catalog.tiny import CAUSAL, KINDS, READ, built, default, nested, odd, read, tiny  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
TOWERS = ("vision", "visual", "image", "audio", "multi_modal", "connector", "embed_tokens_extend")

# Where the reference is not what an engine runs, or cannot be run.
PARAMETERS = {"longcat_flash": "allocates rows of gate and up for experts that do nothing"}
UNBUILT = {"gemma3n": "its vision tower needs a package of its own"}
UNRUN = {
    "dbrx": "its loss of routing asks for gradients",
    "dory": "its masks do not fit its loops",
    "dots3_note_text": "its sizes by layer cannot be made small",
    "xlstm": "its kernel wants heads of other widths",
    "zamba": "its shared layers cannot be tied when there is one",
}
CACHES = {
    "cpmant": "puts prompt tokens before ours",
    "deepseek_v4": "keeps the tokens of an unfinished group too",
    "gpt_neo": "keeps all tokens of layers with a window",
    "openai-gpt": "keeps no cache",
    "recurrent_gemma": "keeps its state in its layers",
}
WORK = {
    "cpmant": "puts prompt tokens before ours",
    "deepseek_v4": "scores tokens and groups of them in one product",
    "diffllama": "multiplies its values twice",
    "llama4_text": "sends every token to all experts",
    "longcat_flash": "has experts that do nothing",
    "gemma3n_text": "mixes its four streams",
    "inkling_text": "looks up relative positions by products",
    "longformer": "pads to whole windows",
    "luke": "has no entities to attend to",
    "mra": "approximates its scores",
    "nystromformer": "approximates its scores",
    "convbert": "convolves by products",
    "recurrent_gemma": "multiplies its gates in batches",
    "xlnet": "scores relative positions too",
    "zaya": "convolves by groups",
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Models this small run faster on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_most_are_read_and_the_rest_say_why():
    refused = {kind: architectures()[kind]["refused"] for kind in KINDS if kind not in READ}

    assert sum(kind in READ for kind in CAUSAL) >= 170
    assert all(len(reason) > 10 for reason in refused.values())


def parameters(model: Any) -> int:
    """Those of the text."""
    return sum(weight.numel() for name, weight in model.named_parameters() if not any(part in name for part in TOWERS))


@pytest.mark.parametrize("kind", [kind for kind in READ if kind not in {**PARAMETERS, **UNBUILT}])
def test_parameters_are_those_of_the_class(kind):
    for config in (default(kind), *odd(kind)):
        with torch.device("meta"):
            counted = parameters(built(kind, config))
        for whole in (True, False):
            arch = read(kind, config, whole)
            assert transformer.params(arch) - arch.tower == pytest.approx(counted, rel=1e-3)


RUN = [kind for kind in READ if kind not in {**UNRUN, **PARAMETERS} and not nested(kind)]


@pytest.mark.parametrize("kind", RUN)
def test_cache_and_work_are_those_of_a_run(kind):
    torch.manual_seed(0)
    config = tiny(kind)
    model = built(kind, config, attn_implementation="eager").eval()
    arch = read(kind, config)

    for tokens in (12, 20):
        products, out = forward(model, tokens, arch.kind == "decoder", bool(transformer.scans(arch)))
        if arch.kind == "decoder" and kind not in CACHES:
            assert cache_bytes(out) == expected_bytes(arch, tokens)
        if kind not in WORK:
            assert products == pytest.approx(expected_flop(arch, tokens), rel=0.01)


def forward(model: Any, tokens: int, cached: bool, recurrent: bool) -> tuple[float, Any]:
    """FLOP and outcome of a forward pass; of a class with recurrences, of products with its matrices alone."""
    ids = torch.randint(5, 100, (1, tokens))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = model(input_ids=ids, **({"use_cache": True} if cached else {}))
    by_kind = counter.get_flop_counts()["Global"]
    return sum(flop for kind, flop in by_kind.items() if not recurrent or str(kind) in PRODUCTS), out


PRODUCTS = ("aten.mm", "aten.addmm")  # batched ones are scores and reference scans


def cache_bytes(out: Any) -> int:
    """Bytes of all numbers that a pass leaves for the next."""
    cache = next(found for name in NAMES if (found := getattr(out, name, None)) is not None)
    seen: dict[int, int] = {}
    _walk(cache, seen, 0)
    return sum(seen.values())


NAMES = ("past_key_values", "cache_params", "state", "mems")


def _walk(thing: Any, seen: dict[int, int], depth: int) -> None:
    if torch.is_tensor(thing):
        if thing.numel() and thing.is_floating_point():
            seen[thing.data_ptr()] = thing.numel() * thing.element_size()
    elif isinstance(thing, list | tuple | dict):
        for each in thing.values() if isinstance(thing, dict) else thing:
            _walk(each, seen, depth + 1)
    elif hasattr(thing, "__dict__") and depth < 5:
        for name, each in vars(thing).items():
            if name != "config":
                _walk(each, seen, depth + 1)


def expected_bytes(arch: Architecture, tokens: int) -> float:
    """Ours in 32 bits; the reference keeps one token less than a window holds, as the next step adds its own."""
    whole = float(transformer.kv_bytes(arch, tokens, 4.0) + transformer.state_bytes(arch, 4.0))
    return whole - sum(
        count * 4.0 * each.cached
        for count, each in transformer.attentions(arch)
        if each.window is not None and tokens >= each.window and not each.reads
    )


def expected_flop(arch: Architecture, tokens: int) -> float:
    """Our matrices, and full squares of scores, as eager attention works them out."""
    scores = sum(
        count * 2.0 * (each.heads * (each.key_dim + each.value_dim) + each.index_heads * each.index_dim) * tokens**2
        for count, each in transformer.attentions(arch)
    )
    if transformer.scans(arch):
        scores = 0.0
    return 2.0 * tokens * transformer.matmul_params(arch) + scores


def test_the_guide_names_every_type_that_is_refused():
    guide = (Path(__file__).parents[2] / "docs" / "architectures.md").read_text()

    assert all(f"`{kind}`" in guide for kind in KINDS if kind not in READ)
    assert f"reads {sum(kind in READ for kind in CAUSAL)} of {len(CAUSAL)} causal" in guide
