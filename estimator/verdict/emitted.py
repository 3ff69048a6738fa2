"""The settings that a tool's file must say for a plan: of a search's best layout, or of a checked run."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from estimator.catalog.accelerators import accelerator
from estimator.catalog.models import architecture, hub_id
from estimator.catalog.precisions import sixteen_bits
from estimator.catalog.tools import Tool
from estimator.configs.emit import written
from estimator.configs.variables import open_variable
from estimator.errors import InvalidInput
from estimator.formulas.training import targeted_linears
from estimator.formulas.transformer import params
from estimator.predict.serving_machine import ServingPlan
from estimator.records import Architecture
from estimator.search.result import STORED, Search
from estimator.verdict.plans import rows_of
from estimator.verdict.result import Check

OURS = ("seq_len", "tp", "pp", "vpp", "cp", "ep", "zero", "recompute", "optimizer", "lora_rank", "fused_attention")


def of_search(tool: Tool, found: Search, model: str) -> str:
    """A file of the tool for the best layout of a search."""
    best = found.best
    asked = {**found.asked, **best.layout, "accelerators": best.accelerators}
    if (tool.task == "serving") != ("concurrency" in best.layout):
        raise InvalidInput(f"{tool.title} is for {tool.task}, which this layout is not")
    asked["model"] = _named(model)
    halves = sixteen_bits(accelerator(best.accelerator))
    if tool.task == "serving":
        _check_served(tool, found.asked, best.layout)
        return written(tool, _served(asked, halves))
    return written(tool, _trained(asked, architecture(model), halves))


BESIDE = ("engine", "engine_year", "server", "measured", "host_gb_per_s")  # of where it runs, which no file says
SERVED = ("kv_precision", "memory_fraction", "max_sequences", "max_batched_tokens", "max_context")


def _check_served(tool: Tool, asked: Mapping[str, Any], layout: Mapping[str, Any]) -> None:
    """Refuse what was asked of a server and its file cannot say."""
    plan = {one.name for one in fields(ServingPlan)}
    if unsaid := sorted(plan & set(asked) - {*BESIDE, *SERVED}):
        raise InvalidInput(f"a file of {tool.title} is not told {unsaid[0]} here: add it to the file yourself")
    if asked.get("engine", tool.engine) != tool.engine:
        raise InvalidInput(f"the layout is for {asked['engine']}, the file for {tool.title}: say one engine")
    stored, on_load = str(layout.get(STORED, "")), tool.emit["on_load"]
    if stored and stored not in on_load:
        raise InvalidInput(
            f"{tool.title} makes {' or '.join(on_load)} of a checkpoint as it loads it, and serves {stored} from one "
            f"that is stored so: name that checkpoint with --model, without weight_precision"
        )


def of_check(tool: Tool, found: Check, model: str, fix: bool) -> str:
    """A file of the tool for a checked run; fix: with the first change that makes it fit, where it does not."""
    if (tool.task == "serving") != (found.task == "serving"):
        raise InvalidInput(f"{tool.title} is for {tool.task}, the run is for {found.task}")
    plan = dict(found.best.plan)
    if fix and not found.best.fits:
        fitting = [change for change in found.changes if change.outcome.fits]
        if not fitting:
            raise InvalidInput("no single change makes it fit: try other accelerators, or see what would help")
        plan = dict(fitting[0].outcome.plan)
    plan["model"] = model or _read(found) or _named(found.llm)
    halves = sixteen_bits(accelerator(found.best.accelerator))
    if found.task == "serving":
        if found.tool != tool.title:  # what another engine means by these
            plan |= {"max_batched_tokens": None, "memory_fraction": None}
        return written(tool, _served(plan, halves))
    return written(tool, _trained(plan, architecture(found.llm), halves))


def _read(found: Check) -> str:
    """The LLM as the files name it; nothing where they leave it open, or name no path or hub id."""
    named = (str(one.value) for one in found.readings if "model" in one.field.split(", ") and one.status == "read")
    return next((name for name in named if "/" in name and not open_variable(name)), "")


def _named(model: str) -> str:
    """The LLM by the name it is known under, a hub id as it is."""
    return model if "/" in model else hub_id(architecture(model).name)


def _trained(plan: Mapping[str, Any], llm: Architecture, halves: str = "bf16") -> dict[str, Any]:
    """Settings of a training plan, with the sizes that frameworks without named LLMs ask for.

    halves: the 16-bit format that the accelerators have units for
    """
    count, micro, batch = int(plan["accelerators"]), float(plan["micro_batch"]), float(plan["global_batch"])
    ranks = count // (int(plan["tp"]) * int(plan["pp"]) * int(plan.get("cp") or 1))
    precision = str(plan["precision"]).replace("bf16", halves)
    offload = str(plan.get("cpu_offload", plan.get("offload", "")))
    method, objective = str(plan["method"]), str(plan.get("objective") or "sft")
    adapted, targets = method != "full", str(plan.get("lora_targets") or "all")
    micro, batch = (each / rows_of({"objective": objective}) for each in (micro, batch))  # which tools count
    chosen = f"{'_proj,'.join(targeted_linears(targets))}_proj"  # as LLMs of the hub call them
    said: dict[str, Any] = {name: plan[name] for name in OURS if plan.get(name) not in (None, "")}
    said |= {
        "model": plan["model"],
        "llm": llm.name,
        "fused_loss": True if plan.get("framework") == "liger" else None,
        "micro_batch": int(micro),
        "global_batch": int(batch),
        "accumulation": max(round(batch / (micro * ranks)), 1),
        "accelerators": count,
        "nodes": max(-(-count // 8), 1),
        "per_node": min(count, 8),
        "adapted": adapted,
        "method": method,
        "compute": halves if precision.startswith("fp8") else precision.removeprefix("amp_").removesuffix("-true"),
        "fp8": True if precision.startswith("fp8") else None,
        "offload_optimizer": "optimizer" in offload or None,
        "offload_params": "params" in offload or None,
        "packed": plan.get("packed", True),
        "objective": objective,
        "base_bits": "4" if method == "qlora" else None,
        "lora_targets": (targets if targets == "all" else chosen) if adapted else None,
        "lora_rank": int(plan.get("lora_rank") or 16) if adapted else None,
        "strategy": {3: "fsdp"}.get(int(plan["zero"]), ""),
    }
    if str(said.get("optimizer", "")).lower() == "adamw":  # the tools' own
        del said["optimizer"]
    if said.get("vpp") == 1:
        del said["vpp"]
    return said | _sizes(llm)


def _sizes(llm: Architecture) -> dict[str, Any]:
    experts = llm.experts
    return {
        "layers": llm.layers,
        "hidden": llm.hidden,
        "ffn": llm.ffn,
        "heads": llm.heads,
        "kv_heads": llm.kv_heads,
        "head_dim": llm.head_dim,
        "gated": llm.gated_mlp or None,
        "grouped": llm.kv_heads < llm.heads,
        "tied": llm.tied_embeddings,
        "experts": experts.experts if experts else None,
        "experts_per_token": experts.per_token if experts else None,
        "expert_ffn": experts.ffn if experts else None,
        "model_size": f"{params(llm) / 1e9:.0f}B",
    }


def _served(plan: Mapping[str, Any], halves: str = "bf16") -> dict[str, Any]:
    weights, longest = str(plan.get("weight_precision") or ""), plan.get("longest_request") or plan.get("max_context")
    return {
        "model": plan["model"],
        "tp": int(plan["tp"]),
        "pp": int(plan["pp"]),
        "ep": int(plan["ep"]) if int(plan["ep"]) > 1 else None,
        "experts_shared_out": True if int(plan["ep"]) > 1 else None,
        "max_sequences": plan.get("max_sequences"),
        "chunk_tokens": plan.get("max_batched_tokens"),
        "max_model_len": int(longest) if longest else None,
        "memory_fraction": plan.get("memory_fraction"),
        "static_fraction": plan.get("memory_fraction"),
        "kv_precision": plan.get("kv_precision"),
        "weight_precision": weights if weights not in ("", "as published") else None,
        "dtype": halves if halves != "bf16" else None,
    }
