"""Profiles of servers that were measured without load (`estimator calibrate --suite serving`), checked on reading."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from estimator.catalog.files import Content, cached
from estimator.errors import InvalidInput
from estimator.files import is_file, read_text, shown
from estimator.paths import user_data_folder

SERVER = "server"
REMEDY = "Run `estimator calibrate --suite serving` against the server."


class MeasuredServer(NamedTuple):
    """Times of a server without load [s], and their spread.

    step: of n sequences at a context of c tokens, step[0] + (step[1] + step[2] c) n
    prompt: until the first token of L tokens alone, prompt[0] + prompt[1] L + prompt[2] L^2
    noise: relative standard deviation of what was measured around these [1]
    """

    llm: str
    step: tuple[float, float, float]
    prompt: tuple[float, float, float]
    noise: float


def own_server() -> Path:
    """Where the user's own profile lies."""
    return user_data_folder() / f"{SERVER}.json"


def measured_server(name: str) -> MeasuredServer:
    """The profile that a name means: the user's own (`server`), or a file. Raises InvalidInput."""
    if name == SERVER:
        return _read(own_server())
    path = Path(name)
    with suppress(RuntimeError, ValueError):  # "~" of nobody, or of no name at all
        path = path.expanduser()
    return _read(path)


@cached
def _read(path: Path) -> MeasuredServer:
    if not is_file(path):
        raise InvalidInput(f"there is no profile of a server at {shown(path)}. {REMEDY}")
    text = read_text(path, "profile")
    try:
        content: Content = json.loads(text)
        step, prompt = (_three(content["server"][name]) for name in ("step_s", "prompt_s"))
        noise, llm = float(content["server"]["noise"]), str(content["server"]["llm"])
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"{shown(path)} is no profile of a server. {REMEDY}") from None
    if not (step[0] > 0 and min(*step, *prompt) >= 0 and 0 <= noise < math.inf):
        raise InvalidInput(f"{shown(path)} holds times that no server has. {REMEDY}")
    return MeasuredServer(llm, step, prompt, noise)


def _three(values: object) -> tuple[float, float, float]:
    if isinstance(values, Mapping) or not isinstance(values, list):
        raise ValueError
    first, second, third = (float(value) for value in values)
    if not all(map(math.isfinite, (first, second, third))):
        raise ValueError
    return first, second, third
