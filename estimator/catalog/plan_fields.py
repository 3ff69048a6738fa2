"""The fields of a plan by name, and what frameworks, trainers and engines call them: presets/plan.toml."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from estimator.catalog.files import Content, cached, table
from estimator.errors import UnknownName
from estimator.paths import presets

Kind = Literal["whole", "number", "word", "list", "switch"]
TITLES = {  # sections of the file, for people
    "training": "training plan",
    "serving": "serving plan",
    "traffic": "traffic of a replica",
    "training_goal": "search for a training plan",
    "serving_goal": "search for a serving plan",
}


class PlanField(NamedTuple):
    """A field of a plan, and what it may hold.

    value: default, None when it is open; open: whether None may be given; required: whether it has no default
    least, most: bounds of a number; several: whether arrays are taken
    choices: the words it may hold, or where they are known; words: what else people write for a value
    aliases: what others call it; inputs: of the scenario, those that say the same
    needs: the field without which it says nothing; otherwise: where a value belongs that it may not hold
    """

    name: str
    section: str
    kind: Kind
    why: str
    value: Any = None
    unit: str = ""
    least: float = 0.0
    most: float = float("inf")
    open: bool = False
    required: bool = False
    several: bool = False
    choices: str | tuple[str, ...] = ()
    words: Mapping[str, str] = {}
    aliases: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    needs: str = ""
    otherwise: str = ""

    @property
    def whole(self) -> bool:
        """Whether it comes in whole numbers alone."""
        return self.kind == "whole"


@cached
def plan_fields(*sections: str) -> Mapping[str, PlanField]:
    """The fields of these sections by name, in the file's order.

    >>> plan_fields("training")["micro_batch"].aliases[0]
    'per_device_train_batch_size'
    """
    content = _tables()
    return {name: _field(section, name, entry) for section in sections for name, entry in content[section].items()}


def _field(section: str, name: str, entry: Content) -> PlanField:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    left_open = entry.get("open", "value" not in entry and not entry.get("required"))
    return PlanField(name, section, **{**lists, "open": left_open})


def plain(name: str) -> str:
    """A name as this file writes names: an option's dashes gone.

    >>> plain("--Micro-Batch-Size")
    'micro_batch_size'
    """
    return name.strip().lstrip("-").replace("-", "_").lower()


def field_named(name: str, fields: Mapping[str, PlanField]) -> str | None:
    """The field that a name stands for: its own, an alias, or the input that says the same; None when none does.

    >>> field_named("--tensor-model-parallel-size", plan_fields("training"))
    'tp'
    """
    bare = plain(name)
    return (
        bare if bare in fields else next((key for key, one in fields.items() if bare in one.aliases + one.inputs), None)
    )


@cached
def hints() -> Mapping[str, str]:
    """What to say of names that mean something which no field is."""
    return {name: hint["say"] for hint in _tables()["hint"] if "among" not in hint for name in hint["names"]}


def _hint(name: str, known: Iterable[str]) -> str:
    """The same, where the fields of a plan are known (`among`) what takes the place there of a field of another."""
    told = (hint for hint in _tables()["hint"] if "among" in hint and name in hint["names"])
    fitting = (hint["say"] for hint in told if set(plan_fields(hint["among"])) <= set(known))
    return next(fitting, hints().get(name, ""))


def unknown_field(what: str, name: str, known: Iterable[str], remedy: str) -> UnknownName:
    """The error for a name that is none of `known`: what it means elsewhere, or else the nearest names.

    >>> str(unknown_field("field", "lora_target_linear", ["lora_targets"], ""))
    "unknown field 'lora_target_linear'. Adapters on every linear layer are lora_targets=all."
    """
    meant = _hint(plain(name), tuple(known)) or _elsewhere(name) or _of_a_tool(name)
    if not meant:
        return UnknownName(what, name, known, remedy)
    return UnknownName(what, name, (), f"{meant[0].upper()}{meant[1:]}.")


def _elsewhere(name: str) -> str:
    """What a name means that is a field of some plan."""
    for section, title in TITLES.items():
        if field := field_named(name, plan_fields(section)):
            one = plan_fields(section)[field]
            inputs = f": {' or '.join(one.inputs)} in estimate" if one.inputs else ", which estimate chooses"
            called = "a field" if field == plain(name) else field
            return f"it is {called} of a {title} (estimator layout){inputs}"
    return ""


def _of_a_tool(name: str) -> str:
    """What a name means to a tool whose run configurations are read."""
    from estimator.catalog.tools import meaning  # only when something went wrong

    found = meaning(plain(name))
    if found is None:
        return ""
    why = found.say or next((one["why"] for key, one in _run_fields().items() if key == found.field), "")
    if not why and found.field:
        return _elsewhere(found.field)
    return f"{f'{why} (' if why else '('}a key of {found.tool}; estimator check reads its files)"


@cached
def _run_fields() -> Content:
    fields: Content = table(presets() / "run.toml")["run"]
    return fields


def input_meant(name: str) -> str | None:
    """The one input of the scenario that a name stands for; None when none does, or several could.

    >>> input_meant("lora_r"), input_meant("max_seq_length")
    ('lora_rank', None)
    """
    fields = [
        one for section in TITLES for one in plan_fields(section).values() if plain(name) in (one.name, *one.aliases)
    ]
    found = {each for one in fields for each in one.inputs}
    return found.pop() if len(found) == 1 else None


@cached
def _tables() -> Content:
    return table(presets() / "plan.toml")
