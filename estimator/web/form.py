"""The form of a question, made from the catalogue of inputs: a field for each, grouped, those that matter first.

A field that is left empty is not asked; what stands in it greyed is what is assumed then.
"""

from collections.abc import Mapping
from functools import cache

from estimator.catalog.accelerators import accelerator_names
from estimator.catalog.models import architecture_names
from estimator.catalog.prices import api_names
from estimator.export.page.html import Markup, folded, joined, tag
from estimator.export.page.words import field_label, say, words
from estimator.scenario import Amount, Word, default_scenario
from estimator.text import digits, named
from estimator.web.asking import OUTPUT, QUESTION
from estimator.web.models import FILES

FOREMOST = (
    *("requests_per_month", "prompt_tokens", "output_tokens", "horizon_months", "corpus_gb", "samples", "method"),
    *("weight_precision", "rate_usd_per_hour", "growth_per_month"),
)
NAMES = ("model", "gpu", "gpus", "api", "price_per_hour")
PAID = tuple(name for name in (*QUESTION, *OUTPUT) if name not in (*NAMES, "billing"))  # billing is an input too
SECOND = (
    "model",
    "gpu",
    "gpus",
    "api",
    "price_per_hour",
    "requests_per_month",
    "samples",
    "method",
    "weight_precision",
)
LISTS = {"model": "models", "gpu": "accelerators", "api": "apis", "student": "models"}


def form(asked: Mapping[str, str], others: Mapping[str, Mapping[str, str]]) -> Markup:
    """Every field with what was asked; others: what differs in further scenarios, by their letters."""
    return tag(
        "form",
        _picker("model", asked),
        _picker("gpu", asked),
        *(_plain(name, asked) for name in ("gpus", "api", "price_per_hour")),
        *(_input(name, asked) for name in FOREMOST),
        _search(),
        *_groups(asked),
        *(_scenario(letter, different) for letter, different in others.items()),
        tag("button", say("ask"), type="submit", class_="ask"),
        id="question",
        method="get",
        action="/",
        autocomplete="off",
        aria_label=say("question"),
    )


def lists() -> Markup:
    """What pickers offer."""
    return _lists()


@cache
def _lists() -> Markup:
    known = {"models": architecture_names(), "accelerators": accelerator_names(), "apis": api_names()}
    return joined(
        *(tag("datalist", *(tag("option", value=one) for one in names), id=name) for name, names in known.items())
    )


def _picker(name: str, asked: Mapping[str, str]) -> Markup:
    return field(name, say(f"field_{name}"), asked, hint=say(f"hint_{name}"), list=LISTS[name])


def _plain(name: str, asked: Mapping[str, str], prefix: str = "") -> Markup:
    return field(name, say(f"field_{name}"), asked, hint=say(f"hint_{name}"), prefix=prefix, list=LISTS.get(name))


def _input(name: str, asked: Mapping[str, str], prefix: str = "") -> Markup:
    scenario = default_scenario()
    label = field_label(name)
    if name in scenario.choices:
        return _word(name, label, scenario.choices[name], asked, prefix)
    return _amount(name, label, scenario.amounts[name], asked, prefix)


def _amount(name: str, label: str, entry: Amount, asked: Mapping[str, str], prefix: str) -> Markup:
    """A number; script puts a slider beside it."""
    unit = named(entry.unit, 2).strip()
    shown = digits(entry.value) if entry.value < 1e6 else f"{entry.value:g}"
    ends = {"data_least": f"{entry.least:g}", "data_most": f"{entry.most:g}", "data_value": f"{entry.value:.12g}"}
    why = f"{entry.why} [{unit}]" if unit else entry.why
    return field(name, label, asked, hint=why, prefix=prefix, unit=unit, placeholder=shown, inputmode="decimal", **ends)


def _word(name: str, label: str, entry: Word, asked: Mapping[str, str], prefix: str) -> Markup:
    choices = ("true", "false") if isinstance(entry.value, bool) else entry.choices
    shown = str(entry.value).lower() if isinstance(entry.value, bool) else str(entry.value)
    if not choices:
        return field(name, label, asked, hint=entry.why, prefix=prefix, placeholder=shown, list=LISTS.get(name))
    value = asked.get(name, "")
    options = [tag("option", f"({shown})", value="")]
    options += [tag("option", one, value=one, selected=one == value) for one in choices]
    called = f"{prefix}{name}"
    return row(
        called, label, tag("select", *options, id=f"f-{called}", name=called, aria_describedby=f"h-{called}"), entry.why
    )


def field(
    name: str,
    label: str,
    asked: Mapping[str, str],
    *,
    hint: str,
    prefix: str = "",
    unit: str = "",
    **attributes: object,
) -> Markup:
    """A field for one word or number."""
    called = f"{prefix}{name}"
    box = tag(
        "input",
        id=f"f-{called}",
        name=called,
        value=asked.get(name, ""),
        aria_describedby=f"h-{called}",
        maxlength=200,
        **attributes,
    )
    return row(called, label, box, hint, unit)


def row(called: str, label: str, box: Markup, hint: str, unit: str = "") -> Markup:
    """What is asked, where it goes, and why."""
    return tag(
        "div",
        tag("label", label, for_=f"f-{called}"),
        tag("span", box, tag("span", unit, class_="unit") if unit else None, class_="box"),
        tag("small", hint, id=f"h-{called}"),
        class_="field",
        data_words=f"{called} {hint}".lower(),
        title=hint,
    )


def _search() -> Markup:
    """Script looks for fields by any word of them."""
    box = tag("input", type="search", id="find", placeholder=say("find_hint"))
    return tag("div", tag("label", say("find"), for_="find"), box, class_="field find", hidden=True)


def _groups(asked: Mapping[str, str]) -> list[Markup]:
    """All other inputs, by the sections of the scenario; a group with something in it is open."""
    sections: dict[str, list[str]] = {}
    for name, section in default_scenario().sections.items():
        if name not in FOREMOST and name not in FILES:
            sections.setdefault(section, []).append(name)
    found = [
        _group(say("prices_and_ranges"), [_plain(name, asked) for name in PAID], any(name in asked for name in PAID))
    ]
    for section, names in sections.items():
        title = words().get(f"section_{section}", section)
        found.append(_group(title, [_input(name, asked) for name in names], any(name in asked for name in names)))
    return found


def _group(title: str, rows: list[Markup], opened: bool) -> Markup:
    return folded(f"{title} ({len(rows)})", *rows, class_="group", open=opened)


def _scenario(letter: str, different: Mapping[str, str]) -> Markup:
    """What another scenario has otherwise; further inputs of it that have no field here are kept."""
    prefix = f"{letter}."
    rows = [_plain(name, different, prefix) if name in NAMES else _input(name, different, prefix) for name in SECOND]
    kept = [tag("input", type="hidden", name=f"{prefix}{k}", value=v) for k, v in different.items() if k not in SECOND]
    title = say("scenario", letter=letter.upper())
    return folded(
        title,
        tag("p", say("scenario_why"), class_="quiet"),
        *rows,
        *kept,
        class_="group scenario",
        open=bool(different),
    )
