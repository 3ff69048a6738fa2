"""What a server comes to on some accelerators: whether it starts, how many it holds, how fast: the serving predictor's.

Engines differ in what their share of memory means: of the whole (vLLM, TGI), of the whole for weights and cache alone
(SGLang), or of what the weights leave free (TensorRT-LLM, LMDeploy).
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from estimator.catalog.engines import engine
from estimator.catalog.formats import AS_PUBLISHED, Weights, main, stored_bytes, weights
from estimator.catalog.precisions import precision
from estimator.configs import Run
from estimator.errors import InvalidInput
from estimator.formulas.transformer import blocks
from estimator.predict import serving_memory
from estimator.predict.chance import SURELY, normal
from estimator.predict.serving import (
    MEMORY_DOUBT,
    Traffic,
    format_notes,
    host_doubt,
    host_notes,
    in_host_bytes,
    interval,
    sequence_bytes,
    serving,
    traits,
    working_bytes,
)
from estimator.predict.serving_machine import ServingPlan, suited
from estimator.quantities import Z80, Quantity
from estimator.records import Accelerator, Architecture, Cluster
from estimator.scenario import default_scenario
from estimator.verdict.result import Figure, Outcome

STARTS_WITH = 4096.0  # tokens that a server's cache must hold where its engine asks for no more [token]
WHOLE = ("vllm", "llama.cpp", "tgi")  # engines that refuse to start unless the longest request fits

AS_SAID = (
    "cpu_moe_layers", "host_gb_per_s", "activation_precision", "engine_year", "server", "measured",
    "draft_accepted_tokens", "draft", "drafted_tokens",
)  # fmt: skip
WHOLE_MATRICES = ("q_a", "kv_a", "router")  # vLLM and SGLang split none of them: deepseek_v2.py, ReplicatedLinear


def groups(said: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Tensor, pipeline and expert parallelism of a replica, and copies of it, as engines mean them [1].

    Where attention runs as copies inside a group, experts are spread over all of them: of the tensor group (SGLang,
    TensorRT-LLM), or of the copies that are asked for (vLLM with expert parallelism).
    """
    tp, pp, copies = (int(said.get(name) or 1) for name in ("tp", "pp", "data_parallel"))
    ep = int(said.get("ep") or 1)
    if said.get("experts_shared_out"):
        return tp, pp, max(ep, tp * copies), 1
    if said.get("attention_parallel"):
        inside = copies if copies > 1 else tp
        return max(tp // inside, 1), pp, max(ep, tp), 1
    return tp, pp, ep, copies


def serving_plan(run: Run, llm: Architecture, count: int) -> ServingPlan:
    """How the files say that the LLM is served."""
    said, facts = run.settings, engine(run.tool.engine)
    tp, pp, ep, _ = groups(said)
    if not said.get("tp") and facts.family in ("tgi", "llama.cpp"):
        tp = count
    chunk = int(said["chunk_tokens"]) if (said.get("chunk_tokens") or 0) > 0 else None
    return ServingPlan(
        weight_precision=_stored(said, llm),
        kv_precision=said.get("kv_precision"),
        engine=facts.name,
        tp=tp,
        pp=pp,
        ep=ep if llm.experts else 1,
        adapters=int(said.get("adapters") or 1) if said.get("lora") else 0,
        adapter_rank=int(said.get("adapter_rank") or 16),
        chunked_prefill=bool(said.get("chunked_prefill", True) or chunk),
        max_batched_tokens=chunk,
        max_sequences=said.get("max_sequences") or said.get("slots"),
        max_context=_told_longest(said),
        memory_fraction=said.get("memory_fraction"),
        gpu_layers=_on_accelerators(said),
        **{name: said[name] for name in AS_SAID if said.get(name) is not None},
    )


def _on_accelerators(said: Mapping[str, Any]) -> int | None:
    """Layers on the accelerators; None for all, or as many as the engine sees fit."""
    words = str(said.get("gpu_layers", ""))
    return int(words) if words.isdigit() else None


def _stored(said: Mapping[str, Any], llm: Architecture) -> str:
    """Format of the weights: as the checkpoint has it where that is quantised already, else as the server is told."""
    told = said.get("weight_precision")
    published = main(llm, weights(llm, AS_PUBLISHED))
    if told and (published.bits > 15 or precision(told).bits < published.bits - 0.5):
        return str(told)
    return "fp32" if said.get("dtype") == "fp32" and published.bits > 15 else AS_PUBLISHED


def served(run: Run, llm: Architecture, cluster: Cluster, price: Quantity, load: Mapping[str, float]) -> Outcome:
    """The outcome of a server on a cluster. load: prompt_tokens, output_tokens and concurrency, where given."""
    plan = suited(serving_plan(run, llm, cluster.count), cluster.accelerator)
    needed = plan.layout.accelerators * groups(run.settings)[3]
    replica = cluster._replace(count=plan.layout.accelerators)
    device, longest = cluster.accelerator, _longest(run, llm)
    plan, notes = _placed(run, llm, replica, plan)
    memory, cache = _memory(run.settings, llm, replica, plan)
    one = _least_cache(run, llm, plan)
    figures = _figures(run, llm, replica, plan, longest, max(cache, 0.0), load)
    figures["usd_per_hour"] = _figure(price)
    notes += [] if cluster.count == needed else [f"it runs on {needed}, not on {cluster.count}"]
    notes += [*host_notes(llm, plan), *format_notes(llm, plan, device)]
    told = _told_longest(run.settings)
    if told and llm.max_context and told > llm.max_context:
        notes.append(
            f"requests of {told:,} tokens are beyond the {llm.max_context:,} that {llm.name} holds: most engines "
            "do not start so unless its positions are extended (YaRN)"
        )
    return Outcome(
        accelerator=device.name,
        title=device.title,
        count=needed,
        fit_chance=_chance(cache - one, device),
        memory=memory | {"kv_cache": one},
        usable_bytes=_allowed(run.settings, cluster, plan),
        figures=figures,
        parts={},
        plan={name: getattr(plan, name) for name in plan.__slots__}
        | {"longest_request": longest, "accelerators": needed, "max_sequences": run.settings.get("max_sequences")},
        notes=tuple(notes),
    )


def _least_cache(run: Run, llm: Architecture, plan: ServingPlan) -> float:
    """KV cache without which the server does not start [B]."""
    longest, alone = _longest(run, llm), run.tool.id == "ollama"
    shrinks = plan.facts.host_layers and not _told_longest(run.settings)  # a context that is not given
    whole = alone or (plan.facts.family in WHOLE and not shrinks)
    least = longest if whole else min(longest, STARTS_WITH)
    return float(sequence_bytes(llm, plan, least)) * (int(run.settings.get("slots") or 1) if alone else 1)


def _chance(spare: float, device: Accelerator) -> float:
    """That memory suffices, of which so much is expected to be left [B]."""
    return float(normal(Z80 * spare / (MEMORY_DOUBT * device.memory_bytes)))


def _placed(run: Run, llm: Architecture, cluster: Cluster, plan: ServingPlan) -> tuple[ServingPlan, list[str]]:
    """The plan with as many layers on the accelerators as surely fit, where its engine chooses that; and what is said.

    llama.cpp fits what is not given (tools/server/README.md, --fit), the context before layers; Ollama layers.
    """
    apart = plan.facts.host_layers and cluster.accelerator.kind == "gpu"  # from the host's memory
    open_layers = apart and plan.gpu_layers is None and not plan.cpu_moe_layers

    def fits(layers: int) -> bool:
        tried = replace(plan, gpu_layers=layers)
        spare = _memory(run.settings, llm, cluster, tried)[1] - _least_cache(run, llm, tried)
        return _chance(spare, cluster.accelerator) >= SURELY

    if not open_layers or fits(llm.layers):
        return plan, []
    some = max(bisect_left(range(llm.layers), True, key=lambda layers: not fits(layers)) - 1, 0)
    rest = f"the others are computed from the host's memory, as {run.tool.title} chooses"
    return replace(plan, gpu_layers=some), [f"{some} of {llm.layers} layers fit: {rest}"]


def _memory(
    said: Mapping[str, Any], llm: Architecture, cluster: Cluster, plan: ServingPlan
) -> tuple[dict[str, float], float]:
    """What the fullest accelerator holds besides the cache, and what is left for that [B]."""
    device, layout = cluster.accelerator, plan.layout
    whole = device.usable_bytes
    held = max(_stages(llm, plan.held(llm), layout)) - in_host_bytes(llm, plan)
    held += serving_memory.adapters_bytes(llm, plan.adapters, plan.adapter_rank, layout)
    passing = working_bytes(llm, plan)
    context = serving_memory.beside_bytes(device, serving_memory.Layout() if plan.facts.layer_split else layout)
    memory = {"weights": held, "activations": passing, "reserve": context}
    if said.get("free_fraction"):
        return memory, (whole - held - passing - context) * _share(said["free_fraction"], "free_fraction")
    if said.get("static_fraction"):
        return memory, whole * _share(said["static_fraction"], "static_fraction") - held
    fraction = plan.facts.memory_fraction if plan.memory_fraction is None else plan.memory_fraction
    return memory, whole * _share(fraction, "memory_fraction") - held - passing - context


def _stages(llm: Architecture, stored: Weights, layout: serving_memory.Layout) -> Iterator[float]:
    """Weights on an accelerator of each pipeline stage [B]: layers over, if any, go to those before the last."""
    held, layers = stored_bytes(llm, stored), range(llm.layers)
    experts = [i for i in layers if i >= llm.layers - llm.moe_layers] if _in_front(llm) else list(layers)
    each, more = divmod(llm.layers, layout.pp)
    copied = _copied(llm, stored) * (1 - 1 / layout.tp) / llm.layers + _unpacked(llm, stored) / layout.tp
    start = 0
    for stage in range(layout.pp):
        end = start + each + (layout.pp - 1 - more <= stage < layout.pp - 1)
        routed = held.experts * sum(start <= i < end for i in experts) / len(experts)
        inside = (held.attention + held.feed_forward + held.rest) * (end - start) / llm.layers
        last = (held.head or held.embeddings * (stage > 0)) * (stage == layout.pp - 1)
        ends = held.embeddings * (stage == 0) + last
        yield (inside + ends) / layout.tp + routed / max(layout.tp, layout.ep) + copied * (end - start)
        start = end


def _copied(llm: Architecture, stored: Weights) -> float:
    """Weights that every rank of a tensor group holds whole [B]."""
    matrices = ((block, one) for block in blocks(llm) for one in block.matrices if one.name in WHOLE_MATRICES)
    return sum(block.held * one.size * one.count * stored.attention.bytes for block, one in matrices)


def _unpacked(llm: Architecture, stored: Weights) -> float:
    """16-bit copy of what opens latent attention, beside the quantised one, of a layer [B].

    vLLM keeps both (mla/common.py, process_weights_after_loading: W_UK_T and W_UV), and SGLang does (w_kc and w_vc).
    """
    latent = llm.latent
    if latent is None or stored.attention.bits > 15:
        return 0.0
    return 2.0 * latent.kv_lora_rank * llm.heads * (latent.qk_nope_head_dim + latent.v_head_dim)


def _in_front(llm: Architecture) -> bool:
    """Whether the layers without experts are the first ones, not every other."""
    return bool(llm.experts and llm.experts.layer_every == 1)


def _allowed(said: Mapping[str, Any], cluster: Cluster, plan: ServingPlan) -> float:
    """What the engine lets itself use of an accelerator [B]."""
    shares = said.get("free_fraction") or said.get("static_fraction")
    fraction = 1.0 if shares else plan.facts.memory_fraction if plan.memory_fraction is None else plan.memory_fraction
    return cluster.accelerator.usable_bytes * fraction


def _share(value: float, name: str) -> float:
    if not 0 < value <= 1:
        raise InvalidInput(f"{name} must be more than 0 and at most 1, not {value:g}")
    return value


def _longest(run: Run, llm: Architecture) -> float:
    """Longest request that the server takes [token]: as its files say, else the LLM's context."""
    return float(_told_longest(run.settings) or llm.max_context or STARTS_WITH)


def _told_longest(said: Mapping[str, Any]) -> int | None:
    """The same as the files say it; none of them is the LLM's context."""
    told = said.get("max_model_len")
    return told if told and told > 0 else None


def _figures(
    run: Run,
    llm: Architecture,
    cluster: Cluster,
    plan: ServingPlan,
    longest: float,
    cache: float,
    load: Mapping[str, float],
) -> dict[str, Figure]:
    """Speed with as many requests as it admits, of the lengths that are asked for, else usual ones."""
    usual = default_scenario()
    prompt = load.get("prompt_tokens") or run.settings.get("prompt_tokens") or usual.amount("prompt_tokens").value
    output = load.get("output_tokens") or run.settings.get("output_tokens") or usual.amount("output_tokens").value
    shrink = min(1.0, longest / (prompt + output))
    prompt, output = prompt * shrink, max(output * shrink, 1.0)
    each = float(sequence_bytes(llm, plan, prompt + output))
    admits = float(run.settings.get("max_sequences") or run.settings.get("slots") or plan.max_sequences or math.inf)
    holds = max(min(cache / each, admits), 1.0)
    asked = load.get("concurrency") or holds
    found = serving(llm, cluster, plan, Traffic(prompt, output, concurrency=max(min(asked, holds), 1.0)))
    hard = traits(llm, cluster.accelerator, plan.engine)
    doubts = {"ttft_s": interval("ttft", hard), "tpot_s": interval("tpot", hard)}
    host = host_doubt(llm, cluster, plan, prompt)
    doubts["tpot_s"] = math.hypot(doubts["tpot_s"][0], host[0]), math.hypot(doubts["tpot_s"][1], host[1])
    figures = {name: _ranged(float(getattr(found, name)), doubt) for name, doubt in doubts.items()}
    down, up = doubts["tpot_s"]
    host = host_doubt(llm, cluster, plan, prompt + output)
    down, up = math.hypot(down, host[0]), math.hypot(up, host[1])
    figures["tpot_s"] = _ranged(float(found.tpot_s), (down, up))
    figures["output_tokens_per_s"] = _ranged(float(found.output_tokens_per_s), (up, down))
    figures["max_concurrency"] = _exact(math.floor(cache / each))
    figures["max_context"] = _exact(_holds(llm, plan, cache))
    figures["concurrency"] = _exact(round(max(min(asked, holds), 1.0)))
    figures["prompt_tokens"], figures["output_tokens"] = _exact(prompt), _exact(output)
    return figures


def _holds(llm: Architecture, plan: ServingPlan, cache: float) -> float:
    """Tokens of a lone request whose cache fits [token]."""
    low, high = 0.0, float(llm.max_context or 1_000_000)
    if float(sequence_bytes(llm, plan, high)) <= cache:
        return high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if float(sequence_bytes(llm, plan, middle)) <= cache else (low, middle)
    return math.floor(low)


def _ranged(value: float, doubt: tuple[float, float]) -> Figure:
    return Figure(value, value * math.exp(-doubt[0]), value * math.exp(doubt[1]))


def _exact(value: float) -> Figure:
    return Figure(value, value, value)


def _figure(quantity: Quantity) -> Figure:
    if not quantity.known:
        return Figure(float("nan"), float("nan"), float("nan"))
    return Figure(float(quantity.value), *map(float, quantity.interval()))
