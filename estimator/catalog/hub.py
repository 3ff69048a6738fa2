"""The config.json of an LLM on the Hugging Face hub: how to get it, and fetching that one file when asked to.

Nothing is fetched unless `download_configs(True)` was called (`--download`). `HF_ENDPOINT` and `HF_TOKEN` are honoured
as the hub's own library does.
"""

import os
import re
from pathlib import Path

from estimator.errors import InvalidInput, clipped
from estimator.files import make_folder, whole

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
ENDPOINT = "https://huggingface.co"
MOST_BYTES = 1_000_000
TIMEOUT_S = 20.0

_allowed = [False]


def download_configs(allowed: bool = True) -> None:
    """Let a hub id that nobody knows be answered by downloading its config.json, or no longer."""
    _allowed[0] = allowed


def is_hub_id(name: str) -> bool:
    """Whether a name has the form owner/name.

    >>> is_hub_id("Qwen/Qwen3-14B"), is_hub_id("qwen3-14b"), is_hub_id("../etc/passwd")
    (True, False, False)
    """
    return HUB_ID.fullmatch(name.strip()) is not None and ".." not in name


def address(name: str) -> str:
    """Where the config.json of a hub id is."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    if not endpoint.startswith(("https://", "http://")):
        raise InvalidInput(f"HF_ENDPOINT must be an address of the web, not {clipped(endpoint)}")
    return f"{endpoint.rstrip('/')}/{name.strip()}/resolve/main/config.json"


def how_to_get(name: str) -> str:
    """What to do for a hub id that no preset has."""
    return f"Get its config.json ({address(name)}) and give its path, or add --download to fetch that one file."


def config_file(name: str) -> Path | None:
    """The config.json of a hub id, fetched or as fetched before; None where nobody asked for downloads."""
    if not _allowed[0]:
        return None
    kept = cache_folder() / name.strip().replace("/", "--") / "config.json"
    if not kept.is_file():
        content = _fetched(name)
        make_folder(kept.parent)
        with whole(kept) as beside:
            beside.write_bytes(content)
    return kept


def cache_folder() -> Path:
    """Where fetched files are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "estimator" / "configs"


def _fetched(name: str) -> bytes:
    from urllib.error import HTTPError, URLError  # loaded when asked for
    from urllib.request import Request, urlopen

    request, token = Request(address(name)), os.environ.get("HF_TOKEN")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(MOST_BYTES + 1)
    except HTTPError as error:
        error.close()
        raise InvalidInput(f"{address(name)} answers {error.code}: {_why(error.code)}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise InvalidInput(f"cannot reach {address(name)}: {clipped(str(reason))}. Give a path instead.") from None
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"{address(name)} is larger than {MOST_BYTES / 1e6:g} MB: it is not a config.json")
    return content


def _why(code: int) -> str:
    if code in (401, 403):
        return "its makers ask for consent. Give it on the page of the LLM, set HF_TOKEN, or give the file's path"
    return "no such repository, or it holds no config.json. Check the name, or give the file's path"
