"""From the parts of files to what they say: each setting with where it was read, and what was not understood."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from estimator.catalog.files import cached, table
from estimator.catalog.plan_fields import plan_fields
from estimator.catalog.tools import LAUNCH, Key, Tool, harmless, tools
from estimator.configs.parts import Part
from estimator.configs.variables import open_name, open_variable
from estimator.errors import InvalidInput, clipped
from estimator.numerals import numeral
from estimator.paths import presets

Status = Literal["read", "default", "assumed", "ignored", "matters", "open", "unknown", "stops"]
EMPTY = ("", "none", "null", "None", "~")
ALIKE = 0.8  # of two names, as difflib counts it, from which one is taken for a slip of the other
SLIP = 0.87  # the same for tools of whose names only some are listed: of vLLM 0.33's 327, no true one is as near
SHORT = 5  # letters of a name that is too short to be a slip of another
LEAST_SCORE = 0.15  # a file whose keys no tool claims is refused
LEAST_NAMES = 4  # unless a tool takes so many of them, though others do too
VERBS = re.compile(  # what a program is told to do, before it is told with what
    r"serve|api_server|bench|throughput|latency|chat|run|pull|train|sft|pt|rlhf|pretrain|lora|full|finetune(?:_\w+)?"
)
CONFIG = re.compile(r".*\.(?:ya?ml|toml|json)")
STRENGTH = {
    "recompute": ("none", "selective", "full"),
    "strategy": ("", "fsdp", "deepspeed"),
    "compute": ("", "fp32", "fp16", "bf16"),
}


class Reading(NamedTuple):
    """One key: where it stands, what it sets, and what became of it.

    status: read | default (of the tool, as its source has it) | assumed (its default, not looked up) | ignored (it
        changes nothing here) | matters (not counted in) | open (a variable) | unknown (the tool does not know it) |
        stops (the same, a slip of another, and the tool does not start with it)
    """

    key: str
    value: object
    field: str
    status: Status
    note: str
    file: str
    tool: str


class Told(NamedTuple):
    """What files say. settings: values by field with the reading each came from; files: other files that they name.

    command: whether it is a command of a shell
    """

    tool: Tool
    settings: dict[str, Any]
    readings: list[Reading]
    notes: list[str]
    files: list[str]
    command: bool = False


@cached
def kinds() -> Mapping[str, Any]:
    """What each field holds, of plans and of runs."""
    found = {name: one.kind for part in ("training", "serving") for name, one in plan_fields(part).items()}
    return found | {name: entry["kind"] for name, entry in _run().items()}


@cached
def _run() -> Mapping[str, Any]:
    run: Mapping[str, Any] = table(presets() / "run.toml")["run"]
    return run


def strongest(field: str) -> bool:
    """Whether the strongest of several keys counts for a field, not the last."""
    return field == "recompute" or bool(_run().get(field, {}).get("strongest"))


# --- which tool -------------------------------------------------------------------------------------------------------


def tool_of(part: Part) -> Tool | None:
    """The tool that a part belongs to: by the program of its command, else by its keys; None when no tool claims it."""
    asked = [tool for tool in tools().values() if tool.id != LAUNCH and not (tool.part and part.style == "args")]
    scores = {tool.id: _score(tool, part) for tool in asked}
    best = max(scores.values())
    found = tools()[next(name for name, score in scores.items() if score == best)]
    if best < LEAST_SCORE and not (best and sum(map(found.takes, part.values)) >= LEAST_NAMES):
        return None
    return found


def _score(tool: Tool, part: Part) -> float:
    """How much speaks for a tool: its program above all, its signs, and names that few other tools know."""
    starts = any(_starts(word, tool) for word in (*part.words, part.image))
    signs = sum(name in tool.signs for name in part.values)
    if tool.signs and not signs and not starts:
        return 0.0
    names = sum(1 / _sharers(name) for name in part.values if tool.takes(name))
    launch = tools()[LAUNCH].keys
    strange = [name for name in part.values if name not in launch and not tool.takes(name)]
    mistakes = sum(bool(tool.known) and not tool.takes(name.partition(".")[0]) for name in strange)
    if not starts and _by_chance(tool, part, mistakes):
        return 0.0
    program = starts * (100.0 if 4 * mistakes <= len(part.values) else 3.0)  # scripts of others have such names too
    return program + 3.0 * signs + names - 0.2 * mistakes


def _by_chance(tool: Tool, part: Part, mistakes: int) -> bool:
    """Whether a part of no program of a tool has its names by chance: most are not its own, or all its parent."""
    parents = [tools()[name] for name in tool.like]
    own = any(tool.takes(name) and not any(each.takes(name) for each in parents) for name in part.values)
    return 2 * mistakes > len(part.values) or (part.style == "args" and bool(parents) and not (own or tool.signs))


@cached
def _sharers(name: str) -> int:
    return sum(tool.takes(name) for tool in tools().values())


def _starts(word: str, tool: Tool) -> bool:
    """Whether a word of a command is a program of the tool, whatever its folder, version and ending."""
    last = word.strip("/").rpartition("/")[2]
    whole = {
        word,
        last,
        last.partition(":")[0],
        last.removesuffix(".exe"),
        last.replace("-", "_"),
        word.partition(":")[0],
    }
    return any(
        name in whole
        or word.endswith("/" + name)
        or (("/" in name or "." in name) and word.partition(":")[0].endswith(name))
        for name in tool.programs
    )


def is_aside(part: Part, tool: Tool) -> bool:
    """Whether a command of a tool neither trains nor serves: it exports, downloads, evaluates."""
    return part.style == "args" and _positional(part, tool) in tool.others


# --- what it says -----------------------------------------------------------------------------------------------------


def told(part: Part, tool: Tool) -> Told:
    """What a part says in the words of plans and runs."""
    result = Told(tool, {}, [], list(part.notes), [], part.style == "args" and bool(part.words))
    values = dict(part.values)
    if tool.positional and (model := _positional(part, tool)) and not CONFIG.fullmatch(model):
        values.setdefault(tool.positional, model)
    for name, value in values.items():
        _read(result, tool, name, value, part)
    result.files.extend(word for word in part.words if CONFIG.fullmatch(word))
    for name, value in part.sets.items():
        key = tool.exact(name) or tool.variable(name) or tools()[LAUNCH].keys.get(name)
        if key and not (key.field and key.field in result.settings and name not in tool.keys):
            _take(result, key, name, value, part)
    for word, sets in tool.by_word.items():
        if any(re.search(word, each) for each in part.words):
            for field, value in sets.items():
                _of_program(result, field, value, part)
    for field, value in tool.sets.items():
        result.settings.setdefault(field, value)
    return result


def _of_program(result: Told, field: str, value: object, part: Part) -> None:
    """A default of one program of a tool, unless the command says otherwise."""
    if field not in result.settings:
        result.settings[field] = value
        note = f"of {next((word for word in part.words if '.' in word), part.words[0])}"
        _say(result, field, value, field, "default", note, part._replace(file=""), result.tool)


def _positional(part: Part, tool: Tool) -> str:
    """The first word after the program and what it is told to do."""
    place = next((at for at, word in enumerate(part.words) if _starts(word, tool)), -1)
    rest = [word for word in part.words[place + 1 :] if not VERBS.fullmatch(word)]
    return rest[0] if rest else ""


def _read(result: Told, tool: Tool, name: str, value: object, part: Part) -> None:
    if name.startswith("deepspeed.") and tool.id != "deepspeed":  # its settings in place of a file's name
        result.settings.setdefault("strategy", "deepspeed")
        return _read(result, tools()["deepspeed"], name.removeprefix("deepspeed."), value, part)
    key = tool.exact(name) or tools()[LAUNCH].keys.get(name) or tool.key(name)
    if part.style != "yaml" and name.startswith("no_") and (key is None or "*" in key.name) and tool.takes(name[3:]):
        return _read(result, tool, name[3:], value is False, part)
    slip = _slip(name, tool) if key is not None and key.name == "*" else ""
    if slip:
        return _mistake(result, name, value, slip, part)
    if key is not None:
        return _take(result, key, name, value, part)
    note, guess = harmless(name), _alike(name, tool)
    if tool.listed(name):
        note = note or "no field here says this"
    elif _nothing(value):
        note = "nothing is set"
    elif (guess and tool.known) or not note:
        return _mistake(result, name, value, guess, part)
    return _say(result, name, value, "", "ignored", note, part, tool)


def _mistake(result: Told, name: str, value: object, meant: str, part: Part) -> None:
    """A key that the tool does not know, perhaps a slip of another: many tools do not start then."""
    tool, words = result.tool, f": did you mean {meant}?" if meant else ""
    status: Status = "stops" if meant and tool.strict else "unknown"
    _say(result, name, value, "", status, f"{tool.title} does not know it{words}", part, tool)


def _alike(name: str, tool: Tool) -> str:
    """The key that a name was likely meant for."""
    names = tool.names()
    same = [known for known in names if known.lower() == name.lower().replace(" ", "_").replace("-", "_")]
    return (same or difflib.get_close_matches(name.replace(" ", "_"), names, 1, ALIKE) or [""])[0]


def _slip(name: str, tool: Tool) -> str:
    """The key that a name is a slip of, where a tool takes more names than are listed here."""
    known = tool.takes(name) or tool.takes(name.removeprefix("no_")) or harmless(name) or len(name) <= SHORT
    near = [] if known else difflib.get_close_matches(name, tool.names(), 1, SLIP)
    return near[0] if near else ""


def _say(result: Told, name: str, value: object, field: str, status: Status, note: str, part: Part, tool: Tool) -> None:
    result.readings.append(Reading(name, value, field, status, note, part.file, tool.title))


def _nothing(value: object) -> bool:
    return value is None or value in EMPTY or value in ([], {}, False)


def _take(result: Told, key: Key, name: str, value: object, part: Part) -> None:
    """Put what a key says among the settings."""
    tool = result.tool
    if isinstance(value, list) and any(map(open_variable, value)):
        value = [each for each in value if not open_variable(each)] or value[0]
    if (
        isinstance(value, list)
        and value
        and key.field
        and not (key.sum or key.counted or key.data)
        and kinds().get(key.field) != "list"
    ):
        value = value[0]
    if open_variable(value) and not key.ignore and not (key.field == "model" and not open_name(value)):
        return _say(result, name, value, key.field, "open", "left to a variable", part, tool)
    if key.ignore or (key.matters and not _nothing(value)):
        _also(result, key, value)
        return _say(
            result, name, value, "", "ignored" if key.ignore else "matters", key.ignore or key.matters, part, tool
        )
    if _absent(value) or (value == "auto" and "auto" not in key.values and key.field not in ("", "lora_targets")):
        return _say(result, name, value, key.field, "ignored", "nothing is set", part, tool)
    if key.matters:
        return _say(result, name, value, "", "ignored", "off", part, tool)
    if key.file and isinstance(value, str):
        result.files.append(value)
    set_before = dict(result.settings)
    for pattern in key.patterns:
        for text in _texts(value):
            _matched(result, pattern, text)
    if key.targets:
        _targets(result, key, value)
    elif key.data:
        result.settings["datasets"] = ",".join([result.settings.get("datasets", ""), *_named_data(value)]).strip(",")
    elif key.sum:
        found = [float(number) for text in _texts(value) for number in re.findall(key.sum, text)]
        if found:
            _settle(result.settings, key.field, sum(found))
    elif key.field and not key.patterns:
        _settle(result.settings, key.field, _translated(key, value))
    _also(result, key, value)
    changed = [
        field for field in result.settings if field not in set_before or result.settings[field] != set_before[field]
    ]
    field = key.field if key.field in result.settings else ", ".join(changed)
    return _say(result, name, value, field, "read", "", part, tool)


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in ("", "null", "~")) or value in ([], {})


def _texts(value: object) -> list[str]:
    """The texts in a value, flat."""
    if isinstance(value, Mapping):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    return [text for each in value for text in _texts(each)] if isinstance(value, list | tuple) else [_word(value)]


def _named_data(value: object) -> list[str]:
    """Names of data sets in a value: of tables in a list their paths."""
    if isinstance(value, Mapping):
        return _named_data(next((value[name] for name in ("path", "id", "dataset", "name") if value.get(name)), ""))
    if isinstance(value, list | tuple):
        return [name for each in value for name in _named_data(each)]
    return [name.strip() for name in str(value).split(",") if name.strip()]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _translated(key: Key, value: object) -> Any:
    """A value in our words. Raises InvalidInput for one that the field cannot hold."""
    if key.counted:
        return _count(value)
    word = _word(value)
    known = {str(name).lower(): ours for name, ours in key.values.items()}
    if word.lower() in known:
        value = known[word.lower()]
    elif "*" in known:
        value = known["*"]
    elif word.lower() == "false" and kinds().get(key.field) == "word":
        value = None
    return _held(key, value)


def _count(value: object) -> int | None:
    """How many accelerators a value names: a number, or a list of their indices; nothing for all of them."""
    text = ",".join(_texts(value)).strip("'\" ")
    if text in ("all", "auto", ""):
        return None
    if re.fullmatch(r"\d+", text) and not isinstance(value, list):
        return int(text) if text != "0" else 1
    return len([each for each in text.split(",") if each.strip()])


def _held(key: Key, value: object) -> Any:
    """A value as its field holds it."""
    kind = kinds().get(key.field, "word")
    if value in ("", None):
        return None
    if kind in ("whole", "number"):
        return _number(key, value, whole=kind == "whole")
    if kind == "switch":
        return _word(value).lower() in ("true", "1", "yes", "on") if not isinstance(value, bool) else value
    if kind == "list":
        return value if isinstance(value, str) else ",".join(_texts(value))
    return value if isinstance(value, str) else ",".join(_texts(value)) if isinstance(value, list) else _word(value)


def _number(key: Key, value: object, whole: bool) -> float | int:
    found = (
        value if isinstance(value, int | float) and not isinstance(value, bool) else numeral(str(value).strip("'\""))
    )
    if found is None or found != found or abs(found) > 1e18:
        raise InvalidInput(f"{key.name} must be a number, not {clipped(value)}")
    if whole and found % 1:
        raise InvalidInput(f"{key.name} must be a whole number, not {clipped(value)}")
    if found < 0 and key.field not in ("steps", "layers_trained", "max_model_len", "chunk_tokens", "samples"):
        raise InvalidInput(f"{key.name} must not be negative, but is {clipped(value)}")
    return int(found) if whole else float(found)


def _matched(result: Told, pattern: str, text: str) -> None:
    """What the named groups of a pattern say of a text."""
    found = re.search(pattern, text, re.IGNORECASE)
    for group, match in (found.groupdict() if found else {}).items():
        if match is None:
            continue
        field, _, value = group.partition("__")
        _settle(result.settings, field, _held(Key(field, field), value or match))


def _targets(result: Told, key: Key, value: object) -> None:
    """Adapters of a layer that a switch turns on."""
    on = value if isinstance(value, bool) else _word(value).lower() == "true"
    names = [name for name in str(result.settings.get("lora_targets", "")).split(",") if name]
    if on:
        result.settings["lora_targets"] = ",".join([*names, *key.targets.split(",")])


def _also(result: Told, key: Key, value: object) -> None:
    for word, sets in key.also.items():
        if word == _word(value) or (word == "*" and not _nothing(value)):
            for field, each in sets.items():
                _settle(result.settings, field, each)


def _settle(settings: dict[str, Any], field: str, value: object) -> None:
    """Put a value in its place; where several keys may say it, the strongest stays."""
    if value is None:
        return
    before = settings.get(field)
    if before is None or not strongest(field):
        settings[field] = value
    elif field in STRENGTH:
        order = STRENGTH[field]
        if (order.index(value) if value in order else 0) >= (order.index(before) if before in order else 0):
            settings[field] = value
    else:
        settings[field] = before or value


def defaults(result: Told) -> Iterator[Reading]:
    """The tool's own defaults for what its files leave open, put among the settings."""
    for key in result.tool.keys.values():
        if key.default is None or not key.field or key.field in result.settings:
            continue
        if not _needed(key.needs, result.settings):
            continue
        value = _translated(key, key.default)
        if value is None:
            continue
        _settle(result.settings, key.field, value)
        note = f"{'not looked up; ' if key.assumed else ''}{key.since}".rstrip("; ")
        yield Reading(
            key.name, key.default, key.field, "assumed" if key.assumed else "default", note, "", result.tool.title
        )


def _needed(needs: str, settings: Mapping[str, Any]) -> bool:
    """Whether a default holds: `field=value`, or `!field` where that must be open."""
    if needs.startswith("!"):
        return needs[1:] not in settings
    field, _, value = needs.partition("=")
    return not field or str(settings.get(field)) == value


def joined(parts: Sequence[Told], notes: list[str]) -> dict[str, Any]:
    """The settings of all parts as one run; later parts count more, and notes take what they say otherwise.

    Raises InvalidInput where parts contradict each other in what must agree.
    """
    whole: dict[str, Any] = {}
    for part in parts:
        for field, value in part.settings.items():
            if field in ("model", "micro_batch", "accumulation") and field in whole and whole[field] != value:
                raise InvalidInput(_contradiction(parts, field))
            if not strongest(field) and field in whole and str(whole[field]) != str(value) and value is not None:
                notes.append(f"{field} is {whole[field]} in one file and {value} in another: the last counts")
            _settle(whole, field, value)
    return whole


def _contradiction(parts: Sequence[Told], field: str) -> str:
    said = [
        f"{each.key} {clipped(each.value)} in {each.file}"
        for part in parts
        for each in part.readings
        if each.field == field and each.status == "read"
    ]
    return f"the files contradict each other: {', '.join(said)}. Say one."
