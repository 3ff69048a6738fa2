"""Plans from fields by name, each value checked against what the field may hold: the same for command and Python."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from estimator.catalog.engines import engine, known_engines
from estimator.catalog.frameworks import framework_names, named_framework
from estimator.catalog.plan_fields import PlanField, field_named, plan_fields, unknown_field
from estimator.catalog.precisions import known_precisions, precision
from estimator.catalog.served_profile import SERVER, measured_server
from estimator.errors import InvalidInput, UnknownName, clipped, nearest
from estimator.formulas.training import LINEARS, unknown_targets
from estimator.predict.serving import Traffic
from estimator.predict.serving_machine import ServingPlan
from estimator.predict.training_plan import TrainingPlan
from estimator.scenario import Amount, Word, bounded, chosen, default_scenario, yes_or_no

P = TypeVar("P")
SECTIONS = {TrainingPlan: "training", ServingPlan: "serving", Traffic: "traffic"}


def fields_of(kind: type[object]) -> Mapping[str, PlanField]:
    """The fields of a kind of plan, by name."""
    return plan_fields(next(section for plan, section in SECTIONS.items() if issubclass(kind, plan)))


def checked_plan(kind: type[P], given: Mapping[str, object]) -> P:
    """A plan from its fields by name or alias. Raises InvalidInput, or UnknownName with the nearest names.

    >>> checked_plan(TrainingPlan, {"per_device_train_batch_size": "2", "zero": 3}).micro_batch
    2
    """
    return kind(**checked(fields_of(kind), given))


def checked(fields: Mapping[str, PlanField], given: Mapping[str, object]) -> dict[str, Any]:
    """Values by the fields' own names, each one that its field may hold."""
    found: dict[str, Any] = {}
    for called, raw in given.items():
        name = field_named(called, fields)
        if name is None:
            raise unknown_field("field", called, fields, f"Fields are {', '.join(fields)}.")
        if name in found:
            raise InvalidInput(
                f"{name} is given twice, once as {called}" if called != name else f"{name} is given twice"
            )
        found[name] = checked_value(fields[name], raw)
    for name, field in fields.items():
        if name in found and field.needs and field.needs not in found:
            raise InvalidInput(f"{name} says nothing without {field.needs}, {fields[field.needs].why}: give that too")
    return found


def checked_value(field: PlanField, raw: object) -> Any:
    """The value, text read as what the field holds. Raises InvalidInput for one that it may not hold."""
    if raw is None:
        if not field.open:
            raise InvalidInput(f"{field.name} must be given: {field.why}")
        return None
    if isinstance(raw, np.generic | np.ndarray) and not raw.ndim:
        raw = raw.item()
    if isinstance(raw, np.ndarray | list | tuple | range):
        return _several(field, raw)
    return READERS[field.kind](field, raw)


def _several(field: PlanField, raw: Any) -> object:
    """Values of as many layouts or loads, or the words of a list."""
    if field.kind == "list":
        return _listed(field, ",".join(map(str, raw)))
    if not field.several:
        raise InvalidInput(f"{field.name} is one value, not {clipped(raw)}")
    try:
        values = np.asarray(raw)
    except ValueError:  # rows of different lengths
        values = np.empty(0)
    if not values.size:
        raise InvalidInput(f"{field.name} must be one value or an array of them, not {clipped(raw)}")
    if values.dtype.kind not in "iuf":
        return np.array([READERS[field.kind](field, each) for each in values.ravel().tolist()]).reshape(values.shape)
    wrong = ~((values >= field.least) & (values <= field.most) & (not field.whole or values % 1 == 0))
    if np.any(wrong):
        _numeric(field, values[wrong].ravel()[0].item())
    return raw


def _numeric(field: PlanField, raw: object) -> object:
    if isinstance(raw, bool | bytes):  # both of which could be read as numbers
        raise InvalidInput(f"{field.name} must be a number, not {clipped(raw)}")
    value = bounded(field.name, Amount(0.0, field.unit, field.least, field.most, "", whole=field.whole), raw)
    if not isinstance(raw, str):
        return raw
    return int(value) if value % 1 == 0 else value


def _switched(field: PlanField, raw: object) -> bool:
    word = field.words.get(raw.strip().lower(), raw) if isinstance(raw, str) else raw
    try:
        return yes_or_no(field.name, word)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{f': {field.otherwise}' * bool(field.otherwise)}") from None


def _worded(field: PlanField, raw: object) -> str:
    if isinstance(raw, bool):
        raw = str(raw).lower()
    if not isinstance(raw, str):
        raise InvalidInput(f"{field.name} must be a name, not {clipped(raw)}")
    word = field.words.get(raw.strip().lower(), raw.strip())
    if word not in (field.value, *field.words.values()):
        _refuse_unknown(field, word)
    return word


def _listed(field: PlanField, raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidInput(f"{field.name} must be names, not {clipped(raw)}")
    _refuse_unknown(field, raw)
    return raw


READERS: Mapping[str, Callable[[PlanField, Any], object]] = {
    "whole": _numeric,
    "number": _numeric,
    "switch": _switched,
    "word": _worded,
    "list": _listed,
}


# --- where words are known --------------------------------------------------------------------------------------------


def _refuse_unknown(field: PlanField, word: str) -> None:
    """Raise InvalidInput for a word that the field may not hold."""
    if field.choices == "scenario":
        chosen(field.name, default_scenario().choices[field.name], word)
    elif isinstance(field.choices, str):
        KNOWN[field.choices][0](word)
    else:
        chosen(field.name, Word("", "", field.choices), word)


def choices(field: PlanField) -> tuple[str, ...]:
    """The words that a field may hold, for people; of open vocabularies those that are listed."""
    if field.choices == "scenario":
        known = default_scenario().choices[field.name]
        return known.choices or known.families
    return KNOWN[field.choices][1]() if isinstance(field.choices, str) else field.choices


def _known_engine(name: str) -> None:
    if not engine(name).known and name != "default":
        known = known_engines()
        every = "" if nearest(name, known) else f"Engines: default, {', '.join(known)}."
        raise UnknownName("serving engine", name, known, every)


def _known_targets(names: str) -> None:
    for word in unknown_targets(names):
        raise UnknownName("LoRA target", word, (*LINEARS, "all"), f"Targets are all, or some of {', '.join(LINEARS)}.")


def _known_server(name: str) -> None:
    if name != SERVER:
        measured_server(name)


KNOWN: Mapping[str, tuple[Callable[[str], object], Callable[[], tuple[str, ...]]]] = {
    "frameworks": (named_framework, lambda: tuple(framework_names())),
    "precisions": (precision, known_precisions),
    "engines": (_known_engine, known_engines),
    "servers": (_known_server, lambda: (SERVER,)),
    "adapter targets": (_known_targets, lambda: ("all", *LINEARS)),
}
