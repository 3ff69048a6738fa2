"""A file of a run configuration as parts: settings by name, and the commands in it, whatever it is written in.

What it is written in is recognised by its content: JSON, TOML, YAML, INI, variables, an Ollama Modelfile, a shell's
commands, a server's start-up log. Containers and clusters (Compose, Kubernetes, Helm, SkyPilot) are looked through for
the commands and the accelerators that they name.
"""

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from estimator.configs.commands import Command, commands
from estimator.configs.safe_yaml import documents
from estimator.configs.variables import expanded, linked
from estimator.errors import InvalidInput
from estimator.files import read_text, shown

MOST_DEEP = 40
TEMPLATE = re.compile(r"^\s*\{\{|\{\{-?\s*(?:\.Values|if|range|include)|: \{\{", re.MULTILINE)
UNRENDERED = "it is a template: hand in what it is rendered to (helm template, for one)"
SBATCH = re.compile(r"^#SBATCH\s+(-\S+(?:[= ][^\s#]+)?)", re.MULTILINE)
SLURM = {
    "nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    "gres": ("SLURM_GPUS_ON_NODE",),
    "gpus_per_node": ("SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE"),
}
INI = re.compile(r"^\s*([\w.-]+)\s*=\s*(.*?)\s*$", re.MULTILINE)
SECTION = re.compile(r"^\s*\[[^\]\n]+\]\s*$", re.MULTILINE)
MODELFILE = re.compile(r"^(FROM|PARAMETER|ADAPTER)\s+", re.MULTILINE)
BUILT = re.compile(r"^(?:ENTRYPOINT|CMD|RUN|COPY|WORKDIR|EXPOSE|ENV)\s", re.MULTILINE)  # of a container's own file
QUOTED = re.compile(r'"{3}.*?(?:"{3}|\Z)', re.DOTALL)  # texts of a Modelfile that span lines
TYPED = {"True": True, "False": False}
LOGGED = re.compile(r"(?:non-default args: (\{.*\})|(?:server_args=)?ServerArgs\((.*)\)|args: Namespace\((.*)\))")
PAIR = re.compile(r"(\w+)=('[^']*'|\"[^\"]*\"|\[[^\]]*\]|[^,\s]+)")
KEY = re.compile(r"^\s*(?:- )?[\"']?[\w.$-]+[\"']?\s*:(?:\s|$)", re.MULTILINE)
COMMANDED = ("entrypoint", "command", "args", "run", "commands", "cmd", "extraArgs", "extra_args", "script")
ARGUMENTS = re.compile(r"(?:[A-Z_]*ARGS|[A-Z_]*COMMAND[A-Z_]*)")
SHELLS = ("sh", "bash", "/bin/sh", "/bin/bash", "-c", "-lc")  # which run the word that follows
NAMED = re.compile(r"(?:(?:nvidia|amd):)?([A-Za-z][\w-]+?)?:?(\d+GB)?(?::(\d+))?")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
COUNTED = ("SKYPILOT_NUM_GPUS_PER_NODE", "DSTACK_GPUS_PER_NODE", "DSTACK_GPUS_NUM")  # variables that a cluster sets
NODES = ("SKYPILOT_NUM_NODES", "DSTACK_NODES_NUM")
GPU_KEYS = ("nvidia.com/gpu", "amd.com/gpu", "requestGPU", "gpuCount", "gpus_per_node")


class Part(NamedTuple):
    """What one part of a file says.

    values: settings by name, dotted where they are nested; words: of a command, its programs first
    style: what it is written in; sets: variables of the shell or container; whole: whether a tool must know every name
    """

    file: str
    style: str
    values: Mapping[str, Any]
    words: tuple[str, ...] = ()
    sets: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    image: str = ""


def parts_of(path: str | Path) -> list[Part]:
    """The parts of a file. Raises InvalidInput in one line for one that holds nothing to read."""
    text = read_text(path, "run configuration")
    if Path(path).suffix == ".py":
        raise InvalidInput(f"{shown(path)} is a program, which is not run here: hand in its arguments or configuration")
    try:
        found = list(parts_in(text, Path(path).name))
    except InvalidInput as error:
        why = UNRENDERED if TEMPLATE.search(text) else error
        raise InvalidInput(f"cannot read the run configuration {shown(path)}: {why}") from None
    except RecursionError:
        raise InvalidInput(f"cannot read the run configuration {shown(path)}: it is nested too deeply") from None
    if not any(part.values or part.words for part in found):
        raise InvalidInput(
            f"cannot read the run configuration {shown(path)}: "
            f"there is {'no setting' if text.strip() else 'nothing'} in it"
        )
    return found


def parts_in(text: str, file: str) -> Iterator[Part]:
    """The parts of a text; file: how messages call it."""
    if "\x00" in text:
        raise InvalidInput("it is no text")
    bare = text.lstrip()
    if logged := _logged(text, file):
        yield logged
    elif bare.startswith(("{", "[{")):
        yield from _data(_json(text), file, "json")
    elif MODELFILE.match(re.sub(r"^\s*#[^\n]*\n", "", bare)) or (BUILT.search(text) and "\nFROM " in text):
        yield from _carried(_image(text), file) if BUILT.search(text) else [_modelfile(text, file)]
    elif (table := _toml(text)) is not None:
        yield from _table(table, file)
    elif SECTION.search(text) and not KEY.search(text):
        yield _ini(text, file)
    elif _is_yaml(text):
        notes: list[str] = []
        for document in documents(text, notes):
            yield from (part._replace(notes=(*notes, *part.notes)) for part in _data(document, file, "yaml"))
    else:
        yield from _shell(text, file)


def _is_yaml(text: str) -> bool:
    """Whether the first line that says something is a key or an item of a list."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    first = next(lines, "")
    return (
        first.strip() == "---"
        or first.startswith("%YAML")
        or bool(re.match(r"\s*(?:- )?[\"'{]?[\w.$-]+[\"']?\s*:", first))
        or first.startswith(("- ", "&", "!"))
    )


# --- formats ----------------------------------------------------------------------------------------------------------


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"it is not JSON (line {error.lineno}): {error.msg}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidInput(f"{key!r} is given twice")
        found[key] = value
    return found


def _toml(text: str) -> dict[str, Any] | None:
    """A TOML table; nothing where it is no TOML, or only variables as shells set them."""
    try:
        return tomllib.loads(text) or None
    except tomllib.TOMLDecodeError as error:
        told = re.search(r"^\s*\[[\w.]+\]\s*$", text, re.MULTILINE) and re.search(
            r"^\s*\w+\s*=\s*[\"\d]", text, re.MULTILINE
        )
        if told and "Cannot" in str(error):
            raise InvalidInput(f"it is not TOML: {error}") from None
        return None


def _table(table: dict[str, Any], file: str) -> Iterator[Part]:
    if all(isinstance(value, str) and name.isupper() for name, value in table.items()):
        yield Part(file, "env", {name.lower(): value for name, value in table.items()}, sets=table)
    else:
        yield Part(file, "toml", flat(table))


def _ini(text: str, file: str) -> Part:
    found: dict[str, Any] = {}
    for name, value in INI.findall(re.sub(r"(?m)^\s*[#;].*$", "", text)):
        found.setdefault(name.replace("-", "_"), value)
    return Part(file, "ini", found)


def _modelfile(text: str, file: str) -> Part:
    values: dict[str, Any] = {}
    for line in QUOTED.sub("", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "PARAMETER":
            name, _, value = rest.strip().partition(" ")
            values.setdefault(name, value.strip())
        elif word.upper() in ("FROM", "ADAPTER"):
            values[word.lower()] = rest.strip()
    return Part(file, "modelfile", values, ("ollama",))


def _image(text: str) -> dict[str, Any]:
    """What an image starts, of the file that it is built by."""
    found: dict[str, Any] = {"env": {}}
    for line in re.sub(r"\\[ \t]*\r?\n", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "FROM":
            found = {"env": found["env"], "image": rest.split()[0] if rest.split() else ""}
        elif word.upper() == "ENV":
            found["env"] |= dict(pair.partition("=")[::2] for pair in rest.split() if "=" in pair)
        elif word.upper() in ("ENTRYPOINT", "CMD"):
            name = "entrypoint" if word.upper() == "ENTRYPOINT" else "command"
            found[name] = _json(rest) if rest.lstrip().startswith("[") else rest
    return found


def _logged(text: str, file: str) -> Part | None:
    """The arguments that a server wrote when it started."""
    found = LOGGED.search(text)
    if not found:
        return None
    if found[1]:
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
                values = ast.literal_eval(found[1])
        except (ValueError, SyntaxError, MemoryError):
            raise InvalidInput("the arguments in this log cannot be read") from None
        return Part(file, "log", flat(values) if isinstance(values, dict) else {}, ("vllm",))
    pairs = {name: value.strip("'\"") for name, value in PAIR.findall(found[2] or found[3])}
    kept = {name: TYPED.get(value, value) for name, value in pairs.items() if value not in ("None", "")}
    return Part(file, "log", kept, ("sglang",) if found[2] else ("vllm",))


def _shell(text: str, file: str) -> Iterator[Part]:
    lines = SBATCH.findall(text)
    queued = commands(f"sbatch {' '.join(lines)}")[0].options if lines else {}
    asked = {name: value for name, value in queued.items() if name in ("nodes", "N", "gres", "gpus_per_node", "gpus")}
    if asked:
        yield Part(file, "launch", asked)
    counts = {option: str(value).rpartition(":")[2] for option, value in asked.items()}
    known = {name: counts[option] for option, names in SLURM.items() if option in counts for name in names}
    found = commands(text, known)
    for each in found:
        yield _commanded(each, file)
    if not found:
        sets = dict(INI.findall(re.sub(r"(?m)^\s*#.*$", "", text)))
        plain = {name: value.strip("\"'") for name, value in sets.items()}
        yield Part(file, "env", {name.lower(): value for name, value in plain.items()}, sets=plain)


def _commanded(command: Command, file: str, image: str = "") -> Part:
    return Part(file, "args", command.options, command.words, command.sets, command.notes, image)


# --- data that nests --------------------------------------------------------------------------------------------------


def _data(content: object, file: str, style: str) -> Iterator[Part]:
    """Parts of a document: its settings; or, of a container's, the commands in it."""
    if isinstance(content, list) and all(isinstance(each, dict) for each in content):
        content = {"items": content}
    if not isinstance(content, dict):
        raise InvalidInput("it holds no settings by name")
    arguments = [value for value in content.values() if _are_arguments(value)]
    if _are_arguments(content):
        arguments = [content]
    if arguments:
        options = {key.lstrip("-").replace("-", "_"): value for one in arguments for key, value in one.items()}
        yield Part(file, "args", options)
    elif _is_carrier(content):
        yield from _carried(content, file)
    else:
        yield Part(file, style, linked(flat(content)))


def _are_arguments(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and sum(str(key).startswith("--") for key in value) > len(value) / 2


def _is_carrier(content: Mapping[str, Any]) -> bool:
    keys = set(content)
    return bool(
        keys & {"services", "applications", "servingEngineSpec"} or {"apiVersion", "kind"} <= keys
        or ({"resources"} <= keys and keys & {"run", "setup"}) or ({"type", "commands"} <= keys)
        or ({"items"} <= keys and len(keys) == 1)
        or ({"image"} <= keys and keys & {"args", "command", "extraArgs", "extra_args"})
        or (isinstance(content.get("image"), dict) and "repository" in content["image"])
    )  # fmt: skip


def _carried(content: Mapping[str, Any], file: str) -> Iterator[Part]:
    """The accelerators that a container's file names, then the commands in it; the first of each engine counts."""
    found: dict[str, Any] = {}
    _look(content, found, 0)
    if found.get("num_nodes") and found.get("accelerators"):  # which are those of a node
        found["accelerators"] = int(found["accelerators"]) * int(found["num_nodes"])
    yield Part(file, "carrier", {name: value for name, value in found.items() if not name.startswith("_")})
    yield from (part for part in found.get("_parts", ()))


def _look(content: object, found: dict[str, Any], depth: int, image: str = "") -> None:
    if depth > MOST_DEEP:
        raise InvalidInput("it is nested too deeply")
    if isinstance(content, list):
        for each in content:
            _look(each, found, depth + 1, image)
        return
    if not isinstance(content, dict):
        return
    named = content.get("image") or content.get("repository") or image
    image = str(named.get("repository", "") if isinstance(named, dict) else named)
    sets = _environment(content.get("env", content.get("environment", content.get("envs"))))
    for each in (content, content.get("resources")):
        _look_for_accelerators(each if isinstance(each, dict) else {}, found)
    words = _words(content) or _words(named if isinstance(named, dict) else {})
    words += [word for name, value in sets.items() if ARGUMENTS.fullmatch(name) for word in [value]]
    own = content.get("vllmConfig")
    settings = {CAMEL.sub("_", key).lower(): value for key, value in own.items()} if isinstance(own, dict) else {}
    words += _texts({"args": settings.pop("extra_args", None)}, ("args",))
    model = (
        content.get("modelURL")
        or content.get("storageUri")
        or (content.get("model") or {} if isinstance(content.get("model"), dict) else {}).get("uri")
    )
    if isinstance(model, str):
        found.setdefault("model", model.removeprefix("hf://"))
    if isinstance(content.get("engine_kwargs"), dict):  # of Ray Serve, which runs vLLM
        image, settings = "vllm", settings | content["engine_kwargs"] | _loaded(content.get("model_loading_config"))
    vllms = content.get("kind") == "LLMInferenceService"  # KServe's, which runs vLLM
    if vllms:
        image, settings = "vllm", _shared_out(content.get("spec"))
    if not words and not settings and sets and "image" in content:
        settings = {name.lower(): value for name, value in sets.items()}  # servers that take variables for options
    if words or settings or vllms or (image and isinstance(content.get("modelURL"), str)):
        _carry(" ".join(words), expanded(image, {}), {**sets}, settings, found)
    for key, value in content.items():
        if key == "serveConfigV2" and isinstance(value, str):  # of a RayService: a file in the file
            value = documents(value, [])
        if key != "image":
            _look(value, found, depth + 1, image)


def _loaded(said: object) -> dict[str, Any]:
    """Which LLM Ray Serve loads."""
    name = (said.get("model_source") or said.get("model_id")) if isinstance(said, dict) else None
    return {"model": name} if isinstance(name, str) else {}


def _shared_out(spec: object) -> dict[str, Any]:
    """How an LLMInferenceService is spread over accelerators, in vLLM's words."""
    spec = spec if isinstance(spec, dict) else {}
    said, model = spec.get("parallelism"), spec.get("model")
    words = {"tensor": "tensor_parallel_size", "pipeline": "pipeline_parallel_size", "data": "data_parallel_size"}
    found = {name: said[word] for word, name in words.items() if isinstance(said, dict) and said.get(word)}
    return found | ({"enable_lora": True} if isinstance(model, dict) and model.get("lora") else {})


def _carry(text: str, image: str, sets: dict[str, str], settings: dict[str, Any], found: dict[str, Any]) -> None:
    if found.get("accelerators"):
        sets = dict.fromkeys(COUNTED, str(found["accelerators"])) | sets
    if found.get("num_nodes"):
        sets = dict.fromkeys(NODES, str(found["num_nodes"])) | sets
    bare = [Part("", "args", {}, image=image)]
    parts = [_commanded(each, "", image) for each in commands(expanded(text, sets))] or bare
    chosen = max(parts, key=lambda part: (len(part.values), len(part.words)))
    options = {**settings, **chosen.values}
    words = chosen.words or ()
    found.setdefault("_parts", []).append(chosen._replace(values=options, words=words, sets=sets | dict(chosen.sets)))


def _words(content: Mapping[str, Any]) -> list[str]:
    """Command and arguments as one text; what an entry point passes on (`"$@"`) stands in its place."""
    entry, rest = (_texts(content, names) for names in (COMMANDED[:1], COMMANDED[1:]))
    passed = next((place for place, text in enumerate(entry) if "$@" in text), None)
    if passed is None:
        return [*map(_quoted, entry), *map(_quoted, rest)]
    told = " ".join(map(_quoted, rest))
    return [entry[passed].replace('"$@"', told).replace("$@", told)]


def _texts(content: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for value in map(content.get, names):
        if isinstance(value, str):
            found.append(expanded(value, {}) + "\n" * ("\n" in value))
        elif isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
            words = [expanded(str(each), {}) for each in value]
            if value is content.get("commands"):  # each a line of its own
                words = [f"{word}\n" for word in words]
            found += [word for word in words if word not in SHELLS] if {"-c", "-lc"} & {*words} else words
    return found


def _quoted(text: str) -> str:
    """A word as a shell has it; what is a command already as it is."""
    return text if re.search(r"[\n;]|\s--?\w|^\w+ \w", text) else quote(text)


def _environment(value: object) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(name): expanded(str(each), {}) for name, each in value.items() if each is not None}
    if not isinstance(value, list):
        return {}
    pairs = [each.partition("=")[::2] for each in value if isinstance(each, str) and "=" in each]
    named = [(each.get("name"), each.get("value")) for each in value if isinstance(each, dict)]
    return {str(name): expanded(str(each), {}) for name, each in (*pairs, *named) if each is not None}


def _look_for_accelerators(content: Mapping[str, Any], found: dict[str, Any]) -> None:
    nodes = content.get("num_nodes", content.get("nodes") if "commands" in content else None)
    if isinstance(replicas := content.get("pytorchReplicaSpecs"), dict):  # a machine each
        counts = [each.get("replicas", 1) for each in replicas.values() if isinstance(each, dict)]
        nodes = sum(counts) if all(isinstance(count, int) for count in counts) else None
    if isinstance(nodes, int):
        found.setdefault("num_nodes", nodes)
    for key in GPU_KEYS:
        if re.fullmatch(r"\d+", str(content.get(key))):
            found.setdefault("accelerators", content[key])
    if content.get("driver") == "nvidia":
        ids, count = content.get("device_ids"), content.get("count")
        if isinstance(ids, list):
            text = ",".join(expanded(str(each), {}) for each in ids)
            found.setdefault("accelerators", len([each for each in text.split(",") if each.strip()]) or 1)
        elif isinstance(count, int):
            found.setdefault("accelerators", count)
    for key in ("accelerators", "gpu", "gpus"):
        if isinstance(content.get(key), str | dict):
            _name_accelerators(content[key], found)
    for key in ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "gpu_product"):
        if isinstance(content.get(key), str):
            found.setdefault("accelerator", _plain_name(content[key]))


def _name_accelerators(value: str | dict[str, Any], found: dict[str, Any]) -> None:
    """Accelerators as `H100:8`, `A100:80GB:1` or `{L4: 1, A100: 1}`, of which any will do, or name and count apart."""
    if isinstance(value, dict) and {"name", "count", "memory"} & {*value}:
        names = value.get("name")
        value = {str(name): value.get("count") for name in (names if isinstance(names, list) else [names or ""])}
    texts = (
        [":".join(str(each) for each in pair if each is not None) for pair in value.items()]
        if isinstance(value, dict)
        else [value]
    )
    matches = [match for text in texts if (match := NAMED.fullmatch(text.strip()))]
    if not matches or len(matches) < len(texts):
        return
    names = [
        f"{match[1].lower()}-{match[2].lower()}" if match[1] and match[2] else (match[1] or "").lower()
        for match in matches
    ]
    counts = {match[3] or 1 for match in matches}
    if len(counts) == 1:
        found.setdefault("accelerators", counts.pop())
    if len(names) == 1 and names[0]:
        found.setdefault("accelerator", names[0])
    elif all(names):
        many = (f"{match[3] or 1}x{name}" for name, match in zip(names, matches, strict=True))
        found.setdefault("accelerator", ",".join(many))


def _plain_name(product: str) -> str:
    """An accelerator as a cluster labels it, without maker and memory's kind."""
    return re.sub(r"^(?:nvidia-|tesla-|geforce-)+|-hbm\w+$", "", product.lower().replace(" ", "-"))


def flat(content: Mapping[str, Any], before: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested settings by dotted names; lists stay what they are, of tables those that are no data.

    >>> flat({"a": {"b": 1, "c": [1, 2]}})
    {'a.b': 1, 'a.c': [1, 2]}
    """
    if depth > MOST_DEEP:
        raise InvalidInput("it is nested too deeply")
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{before}{key}".replace("-", "_")
        if isinstance(value, dict) and value:
            found |= flat(value, f"{name}.", depth + 1)
        else:
            found[name] = value
    return found
