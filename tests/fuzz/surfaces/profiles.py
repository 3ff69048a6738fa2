"""Profiles of measured machines: whole and signed, with a value in them that is of a wrong kind, or absurd, or gone."""

import copy
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from estimator.catalog.files import use_facts_again
from estimator.catalog.local import PROFILE_VERSION, checksum
from tests.fuzz.answers import command
from tests.fuzz.trial import HOME, Trial

SHARE = 45
WRONG: tuple[Any, ...] = (
    None,
    "",
    "x",
    "5",
    [],
    {},
    [5],
    True,
    0,
    -1,
    0.5,
    1e19,
    1e308,
    -1e308,
    5e-324,
    10**40,
    "١",
    "\ud800",
)
ASKS = (
    ("compare", "--model", "smollm2-135m", "--gpu", "local", "--format", "json"),
    ("estimate", "prompt", "--model", "smollm2-135m", "--gpu", "local", "--format", "json"),
    ("estimate", "rag", "--model", "smollm2-135m", "--gpu", "local-1-thread"),
    ("layout", "serve", "--model", "smollm2-135m", "--gpu", "local"),
    ("catalog", "accelerators"),
)
TEXTS = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"5",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"profile_version": 2}',
    b'{"profile_version": "2"}',
)
TEXTS += (b'{"profile_version": true}', b'{"profile_version": 1e400}', b'{"profile_version": ' + b"9" * 5_000 + b"}")


def draw(rng: random.Random, index: int) -> Trial:
    """One to three values changed and signed again; every 8th no profile."""
    target = Path(HOME) / "estimator" / "local.json"
    target.parent.mkdir()
    if index % 8 == 7:
        text = rng.choice(TEXTS)
        target.write_bytes(text)
        return _read_anew("no profile", rng, f"local.json: {text[:60]!r} ({len(text):,} bytes)")
    content = copy.deepcopy(_whole())
    changed = [_spoil(rng, content) for _ in range(rng.choice((1, 1, 1, 2, 3)) if index % 8 else 0)]
    content["checksum"] = checksum(content)
    target.write_text(json.dumps(content))
    if not changed:
        return _read_anew("plain profile", rng, "local.json as it was written", wants=0)
    return _read_anew("re-signed profile", rng, f"local.json, signed again: {'; '.join(changed)}")


def _read_anew(kind: str, rng: random.Random, files: str, wants: int | None = None) -> Trial:
    trial = command(kind, rng.choice(ASKS), files, wants)

    def act() -> Iterator[str]:
        use_facts_again()
        yield from trial.act()

    return trial._replace(act=act)


def _spoil(rng: random.Random, content: dict[str, Any]) -> str:
    """Change a value somewhere in the tree; says what."""
    there: Any = content
    path: list[str] = []
    while isinstance(there, dict) and there:
        holder, key = (
            there,
            rng.choice([name for name in there if name not in ("measurements", "checksum")] or [*there]),
        )
        path.append(str(key))
        there = holder[key]
        if rng.random() < 0.15:
            break
    if rng.random() < 0.15:
        del holder[key]
        return f"{'.'.join(path)} left out"
    holder[key] = rng.choice(WRONG)
    return f"{'.'.join(path)} = {holder[key]!r}"


@cache
def _whole() -> dict[str, Any]:
    """A machine that does not exist, as the tests of `measure` make it up."""
    from estimator.measure.constants import constants
    from estimator.measure.session import typical
    from tests.measure.conftest import content

    made: dict[str, Any] = {"profile_version": PROFILE_VERSION, **content()}
    made["constants"] = constants(typical(made["measurements"]))
    made["measurements"] = {}
    return dict(json.loads(json.dumps(made)))
