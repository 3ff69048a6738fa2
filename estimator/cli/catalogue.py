"""`estimator catalog`: what is known, with source and date."""

import argparse
import math
from collections.abc import Callable, Iterator

from estimator.catalog.accelerators import accelerator, accelerator_names
from estimator.catalog.files import use_facts
from estimator.catalog.frameworks import framework, framework_names
from estimator.catalog.hf_config import architectures
from estimator.catalog.models import architecture, architecture_names
from estimator.catalog.plan_fields import TITLES, plan_fields
from estimator.catalog.prices import api_names, api_price, price_rows
from estimator.cli.options import belong, show
from estimator.decide.rules import criteria
from estimator.errors import InvalidInput
from estimator.export.catalogue import Catalogue, Row
from estimator.formulas import transformer
from estimator.formulas.memory import MIXED_PRECISION
from estimator.predict.checked import choices
from estimator.records import Source
from estimator.scenario import default_scenario


def catalog(options: argparse.Namespace) -> None:
    """List one kind of thing, filtered by name; or bring prices up to date."""
    if options.facts:
        use_facts(options.facts)
    if options.kind == "refresh":
        from estimator.cli.prices import refresh  # rarely asked for

        return refresh(options)
    return show(options, entries(options))


def entries(options: argparse.Namespace) -> Catalogue:
    """What is known of one kind of thing, filtered by name."""
    belong(options, "refresh", "model", "api", "scenario")
    if options.kind not in KINDS:
        raise InvalidInput(f"catalog {options.kind} writes files: run it as a command")
    if options.kind != "prices":
        belong(options, "prices", "gpu", "provider", "region", "commitment")
    rows = [
        row for row in KINDS[options.kind](options) if options.name.lower() in str(next(iter(row.values()))).lower()
    ]
    if not rows:
        raise InvalidInput(f"nothing in the catalogue of {options.kind} matches; leave the filters out to see all")
    return Catalogue(tuple(rows))


def _llms(_: argparse.Namespace) -> Iterator[Row]:
    for name in architecture_names():
        llm = architecture(name)
        yield {
            "name": name,
            "params_b": transformer.params(llm) / 1e9,
            "active_b": transformer.active_params(llm) / 1e9,
            "layers": llm.layers,
            "hidden": llm.hidden,
            "context": llm.max_context,
            "kv_bytes_per_token": float(transformer.kv_bytes(llm, 1.0)),
            "basis": llm.basis,
            "source": _cited(llm.sources),
        }


def _accelerators(_: argparse.Namespace) -> Iterator[Row]:
    for name in accelerator_names():
        device = accelerator(name)
        yield {
            "name": name,
            "memory_gib": device.memory_bytes / 2**30,
            "bandwidth_gb_per_s": device.memory_bandwidth_bytes_per_s / 1e9,
            "bf16_tflop_per_s": device.peak("bf16") / 1e12,
            "tdp_w": device.tdp_w,
            "basis": device.basis,
            "source": _cited(device.sources),
        }


def _prices(options: argparse.Namespace) -> Iterator[Row]:
    names = [accelerator(options.gpu).name] if options.gpu else accelerator_names()
    for name in names:
        for row in price_rows(name):
            wanted = {"provider": row.provider, "region": row.region, "commitment": row.commitment}
            if all(getattr(options, key) in (None, value) for key, value in wanted.items()):
                yield {
                    "accelerator": name,
                    "usd_per_hour": row.usd_per_hour,
                    **wanted,
                    "instance": row.instance,
                    "valid_from": row.valid_from,
                    "source": str(row.source),
                }


def _apis(_: argparse.Namespace) -> Iterator[Row]:
    for name in api_names():
        price = api_price(name)
        yield {
            "name": name,
            "input_usd_per_mtok": price.input_usd_per_mtok,
            "output_usd_per_mtok": price.output_usd_per_mtok,
            "cache_read": price.cache_read_usd_per_mtok,
            "batch_input": price.batch_input_usd_per_mtok,
            "context": price.max_input_tokens,
            "source": str(price.source),
        }


def _inputs(_: argparse.Namespace) -> Iterator[Row]:
    found = default_scenario()
    for name in found.names():
        entry = found.amounts.get(name) or found.choices[name]
        ends = {"low": getattr(entry, "low", None), "high": getattr(entry, "high", None)}
        unit = getattr(entry, "unit", "") or ", ".join(getattr(entry, "choices", ()) or getattr(entry, "families", ()))
        yield {
            "name": name,
            "section": found.sections[name],
            "value": entry.value,
            **ends,
            "unit": unit,
            "aliases": ", ".join(entry.aliases),
            "why": entry.why,
        }
    yield from _criteria()
    yield from _plan_fields()


def _criteria() -> Iterator[Row]:
    """What `recommend` asks beside the inputs; one that is not given decides nothing."""
    for name, one in criteria().items():
        yield {
            "name": name,
            "section": "criteria",
            "value": "any" if one.value == math.inf else one.value,
            "low": None,
            "high": None,
            "unit": ", ".join(one.choices) or one.unit,
            "aliases": "",
            "why": f"recommend: {one.ask}",
        }


def _plan_fields() -> Iterator[Row]:
    """The fields of plans: what `layout` takes, and in Python `training_step` and `serving`."""
    for section, title in TITLES.items():
        for name, one in plan_fields(section).items():
            yield {
                "name": name,
                "section": section,
                "value": "given" if one.required else "open" if one.value is None else one.value,
                "low": None,
                "high": None,
                "unit": one.unit or _listed(choices(one)),
                "aliases": ", ".join(one.aliases),
                "why": f"{title}: {one.why}",
            }


def _listed(words: tuple[str, ...], most: int = 12) -> str:
    """The words of a choice, those of a long list in part."""
    return ", ".join(words if len(words) <= most else (*words[:most], "..."))


def _frameworks(_: argparse.Namespace) -> Iterator[Row]:
    for habits in map(framework, framework_names()):
        yield {
            "name": habits.name,
            "kernels": habits.kernels,
            "states": habits.states,
            "state_bytes_per_parameter": MIXED_PRECISION[habits.states].total,
            "parallelism": "tensor, pipeline, data" if habits.model_parallel else "data",
            "source": habits.source,
        }


def _cited(sources: tuple[Source, ...]) -> str:
    return "; ".join(map(str, sources))


def _architectures(_: argparse.Namespace) -> Iterator[Row]:
    """Model types of a config.json, by what they read as, or why they are not read."""
    for name, habits in sorted(architectures().items()):
        refused = habits.get("refused", "")
        yield {
            "model_type": name,
            "reads_as": "" if refused else "encoder" if habits.get("encoder") else "decoder",
            "recurrence": habits.get("linear", habits.get("conv", "")),
            "like": habits.get("like", ""),
            "why": refused and f"not read: it {refused}",
        }


KINDS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "models": _llms,
    "accelerators": _accelerators,
    "prices": _prices,
    "apis": _apis,
    "inputs": _inputs,
    "frameworks": _frameworks,
    "architectures": _architectures,
}
