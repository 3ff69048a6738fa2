"""A run: what all its files say together, the tool's defaults for what they leave open, and what is still missing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from estimator.catalog.files import table
from estimator.catalog.tools import LAUNCH, Tool, tools
from estimator.configs.parts import parts_of
from estimator.configs.readings import Reading, Told, defaults, is_aside, joined, told, tool_of
from estimator.errors import InvalidInput, clipped
from estimator.files import is_file, may_be_read, shown
from estimator.paths import presets

MOST_FILES = 16
MOST_NAMED = 12  # tools that a refusal names


class Run(NamedTuple):
    """A run configuration. settings: values by field; readings: where each came from; notes: what to mind."""

    tool: Tool
    task: str
    settings: Mapping[str, Any]
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]
    files: tuple[str, ...]

    def came_from(self, field: str) -> Reading | None:
        """The key that set a field; None where no key did."""
        return next((each for each in self.readings if field in each.field.split(", ") and each.status in SET), None)

    @property
    def widening(self) -> float:
        """How much wider ranges are than those of the predictions, as it rests on defaults nobody looked up [1]."""
        assumed = any(each.status == "assumed" for each in self.readings)
        return float(table(presets() / "run.toml")["assumed"]["widening"]) if assumed else 1.0


SET = ("read", "default", "assumed")


def read_run(paths: Sequence[str | Path]) -> Run:
    """The run that some files describe together. Raises InvalidInput; MissingExtra for YAML without PyYAML."""
    if not paths:
        raise InvalidInput("name a run configuration: estimator check train.yaml --gpu a100")
    if len(paths) > MOST_FILES:
        raise InvalidInput(f"{len(paths)} files are no one run: {MOST_FILES} at most")
    found = [result for path in paths for result in _of_file(path)]
    main = _main(found, paths)
    named = _beside(found, paths)
    found = [*named, *found]  # what is named gives way to what names it
    used = [each for each in found if each.tool.part or each.tool.id in (LAUNCH, main.tool.id)]
    ordered = sorted(used, key=lambda each: (each.tool.id == main.tool.id, not each.tool.part))
    said: list[str] = []
    of_run = [each for each in ordered if each.tool.id != main.tool.id or _same(each, main) or each in named]
    under = [each for each in named if each.tool.id == main.tool.id]  # the file that a command names gives way to it
    settings = joined(under, said) | joined([each for each in of_run if each not in under], said)
    whole = main._replace(settings=settings, readings=[reading for each in ordered for reading in each.readings])
    beside = [tools()[name] for name in dict.fromkeys(each.tool.id for each in used) if name != main.tool.id]
    filled = [reading for tool in (main.tool, *beside) for reading in defaults(whole._replace(tool=tool))]
    notes = [*said, *(note for each in ordered for note in each.notes)]
    return Run(
        main.tool,
        main.tool.task,
        settings,
        (*whole.readings, *filled),
        tuple(dict.fromkeys(notes)),
        tuple(map(str, paths)),
    )


def _of_file(path: str | Path) -> list[Told]:
    """What a file says; of several commands of one tool in it the first that names an LLM."""
    told_by, parts = [], parts_of(path)
    for part in parts:
        tool = None if part.style == "launch" else tool_of(part)
        if tool is None and part.style in ("carrier", "launch"):  # which accelerators it names
            tool = tools()[LAUNCH]
        if tool and not is_aside(part, tool):
            told_by.append(told(part, tool))
    if not told_by and (asides := [part for part in parts if (tool := tool_of(part)) and is_aside(part, tool)]):
        raise InvalidInput(f"{shown(path)} neither trains nor serves: it is of {' '.join(asides[0].words[:2])}")
    for tool in {each.tool.id: each.tool for each in told_by if each.command}.values():
        same = [each for each in told_by if each.command and each.tool.id == tool.id]
        chosen = next((each for each in same if each.settings.get("model")), same[0])
        told_by = [each for each in told_by if each is chosen or each not in same]
        if len(same) > 1:
            chosen.notes.append(
                f"{shown(path)} holds {len(same)} commands of {tool.title}: the first that names an LLM is checked"
            )
    return told_by


def _same(part: Told, main: Told) -> bool:
    """Whether a part of the same tool is of the same run; of several servers in one file the first counts."""
    return part is main or main.tool.task == "training"


def _main(found: Sequence[Told], paths: Sequence[str | Path]) -> Told:
    """The part that says what is run. Raises InvalidInput where there is none, or several do."""
    mains = [each for each in found if not each.tool.part and each.tool.id != LAUNCH]
    kinds = {each.tool.id: each for each in mains}
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise InvalidInput(
            f"the files are of two runs, one of {first.tool.title} and one of {second.tool.title}: "
            "check them one by one"
        )
    if mains:
        return mains[0]
    alone = [each for each in found if each.tool.part]
    if alone:
        return alone[0]
    known = [tool.title for tool in tools().values() if tool.id != LAUNCH and not tool.part]
    raise InvalidInput(
        f"no tool that is known here reads {', '.join(shown(path) for path in paths)}: none of its keys is one of "
        f"{', '.join(sorted(known, key=len)[:MOST_NAMED])} or {len(known) - MOST_NAMED} more (docs/check.md)"
    )


def _beside(found: Sequence[Told], paths: Sequence[str | Path]) -> list[Told]:
    """Files that are named in those given, where they are there: beside them, or in the folder one is in."""
    given = {Path(path).resolve() for path in paths}
    more: list[Told] = []
    for each in found:
        for name in each.files:
            path = _found(name, paths)
            if path is None and not each.settings.get("strategy"):
                each.notes.append(f"{clipped(name)} is named in it and is not there: what it says is not read")
            if path is None or path.resolve() in given:
                continue
            given.add(path.resolve())
            read = _of_file(path)
            if read:
                read[0].notes.append(f"{clipped(name)} is named in it and was read too")
            more += read
    return more


def _found(name: str, paths: Sequence[str | Path]) -> Path | None:
    if not name.lower().endswith((".json", ".yaml", ".yml", ".toml")):
        return None
    places = [Path(path).parent / name for path in paths] + [Path(name)]
    return next((place for place in places if may_be_read(place) and is_file(place)), None)
