"""A launch configuration in a tool's own words, from the fields of a plan. What it cannot say is refused."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from estimator.catalog.tools import Key, Tool, tools
from estimator.errors import InvalidInput, UnknownName

QUIET = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")  # texts that need no quotes
WORDS = ("true", "false", "null", "yes", "no", "on", "off", "none")
OWN = "# Of no plan: put in your own."
PLANNED = ("seq_len", "micro_batch", "tp", "pp", "cp", "ep", "zero", "recompute", "method", "base_bits", "compute")
NEEDED = (*PLANNED, "objective", "kv_precision")
USUAL = {"method": ("full",), "objective": ("sft", "pt")}  # besides nothing, which every tool does


def emitters() -> tuple[str, ...]:
    """Tools whose files can be written."""
    return tuple(sorted(name for name, tool in tools().items() if tool.emit))


def emitter(name: str) -> Tool:
    """The tool of that name. Raises UnknownName for one whose files are not written."""
    spelled = name.strip().lower().replace("-", "").replace("_", "")
    if spelled not in emitters():
        raise UnknownName("tool to emit", name, emitters(), f"Tools are {', '.join(emitters())}.")
    return tools()[spelled]


def pinned(tool: Tool) -> dict[str, Any]:
    """What a search for a layout must keep to, so that the tool can run and say what it finds."""
    own = {"engine": tool.engine} if tool.task == "serving" else {} if tool.part else {"framework": tool.framework}
    return own | dict(tool.emit["pins"])


def written(tool: Tool, settings: Mapping[str, Any]) -> str:
    """A file of the tool that says these settings. Raises InvalidInput for one that the tool has no word for.

    >>> print(written(emitter("vllm"), {"model": "Qwen/Qwen3-8B", "tp": 2}), end="")
    vllm serve Qwen/Qwen3-8B \\
      --tensor-parallel-size 2
    """
    said: dict[str, Any] = {}
    done: set[str] = set()
    covered = {"ep"} if settings.get("experts_shared_out") else set()
    for name in tool.emit["keys"]:
        key, words = tool.keys[name], tool.emit.get("words", {}).get(name)
        if words is not None:
            _by_sharding(said, covered, tool, name, words, settings)
        elif key.field in done:
            continue
        elif tool.style == "args" and key.field in settings and not key.assumed and _same(key, settings[key.field]):
            done.add(key.field)
        elif (word := _word(key, settings)) is not None:
            said[name] = word
            done.add(key.field)
    _check(tool, settings, done | covered)
    return STYLES[tool.style](tool, said, dict(_more(tool, settings)), settings)


def _more(tool: Tool, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the tool must be told besides, where it must: of no plan, or another setting's value (`$seq_len`)."""
    for where, keys in tool.emit.get("more", {}).items():
        field, _, value = where.partition("=")
        if where == "always" or (str(settings.get(field)) == value if value else settings.get(field)):
            for name, word in keys.items():
                yield name, settings[word[1:]] if isinstance(word, str) and word.startswith("$") else word


def _by_sharding(
    said: dict[str, Any],
    covered: set[str],
    tool: Tool,
    name: str,
    words: Mapping[str, str],
    settings: Mapping[str, Any],
) -> None:
    """The word of a key for what is sharded and what waits in the host's memory."""
    waits = [part for part in ("optimizer", "params") if settings.get(f"offload_{part}")]
    state = "+".join([str(settings.get("zero") or 0), *waits])
    if state in words:
        said[name] = words[state]
    elif state != "0":
        raise InvalidInput(f"{tool.title} has no file for ZeRO-{state.replace('+', ' with in host memory: ', 1)}")
    covered.add("zero")


def _word(key: Key, settings: Mapping[str, Any]) -> Any:
    """The tool's word for a setting; None where it is not set."""
    value = settings.get(key.field)
    if value is None or value == "":
        return None
    if key.field == "model":
        known = str(settings.get("llm", value))
        value = next((word for word, ours in key.values.items() if known.startswith(str(ours))), value)
    if isinstance(value, str) and value.isdigit() and not key.values:
        return int(value)
    if not key.values or key.field == "model":
        return value
    for wanted in (value, "lora") if value == "qlora" else (value,):  # of which base_bits says the rest
        for word, ours in key.values.items():
            if ours == wanted and type(ours) is type(wanted):
                return {"true": True, "false": False}.get(word, word)
    return None if key.field in NEEDED and value not in key.values else value


def _check(tool: Tool, settings: Mapping[str, Any], done: set[str]) -> None:
    """Refuse what was not written although it is not what the tool does anyway."""
    for name in NEEDED:
        value = settings.get(name)
        usual = value in (None, "", 0, 1) or value in USUAL.get(name, ())
        own = any(key.field == name and _same(key, value) for key in tool.keys.values())
        if name not in done and not usual and not own and not tool.part:
            raise InvalidInput(
                f"{tool.title} cannot be told {name} = {value}: ask for another layout, or emit another tool"
            )


def _same(key: Key, value: object) -> bool:
    default = key.values.get(str(key.default).lower(), key.default)
    return default is not None and str(default) == str(value)


# --- formats ----------------------------------------------------------------------------------------------------------


def _nested(said: Mapping[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for name, value in said.items():
        *path, last = name.split(".")
        place = whole
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return whole


Said = Mapping[str, Any]


def _yaml(tool: Tool, said: Said, more: Said, settings: Said) -> str:
    del settings
    if tool.part:
        said, more = {**said, **more}, {}
    lines = [*_lines(_nested(said), ""), *([OWN] if more else []), *_lines(_nested(more), "")]
    return "".join(f"{line}\n" for line in lines)


def _lines(content: Mapping[str, Any], indent: str) -> Sequence[str]:
    lines: list[str] = []
    for name, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}{name}: {_plain(value)}")
    return lines


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, str):
        bare = QUIET.fullmatch(value) and value.lower() not in WORDS and not re.match(r"[\d.]", value)
        return value if bare else json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) and value == int(value) else str(value)


def _json(tool: Tool, said: Said, more: Said, settings: Said) -> str:
    del tool, settings
    return json.dumps(_nested({**said, **more}), indent=2) + "\n"


def _toml(tool: Tool, said: Said, more: Said, settings: Said) -> str:
    del tool, settings
    sections = (
        f"[{name}]\n" + "".join(f"{key} = {_quoted(value)}\n" for key, value in table.items())
        for name, table in _nested({**said, **more}).items()
    )
    return "\n".join(sections)


def _quoted(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else _plain(value)


def _args(tool: Tool, said: Said, more: Said, settings: Said) -> str:
    """A command; switches that are on stand alone, those that are off are left out."""
    head = re.sub(r"\$(\w+)", lambda found: str(settings[found[1]]), tool.command)
    if tool.positional and settings.get("model"):
        head = f"{head} {_shell(settings['model'])}"
    options = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {_shell(value)}")
        for name, value in {**said, **more}.items()
        if value is not False
    ]
    return " \\\n  ".join([head, *options]) + "\n"


def _shell(value: object) -> str:
    from shlex import quote

    return quote(_plain(value).strip('"') if isinstance(value, str) else _plain(value))


STYLES = {"yaml": _yaml, "json": _json, "toml": _toml, "args": _args}
