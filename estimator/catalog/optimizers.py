"""Optimizers by name: what they keep for each trained parameter, and what they need while they step."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from estimator.catalog.files import cached
from estimator.errors import UnknownName
from estimator.formulas import Real
from estimator.paths import presets, toml

# Words that say nothing about what is kept, beside those of the table.
PLAIN: tuple[str, ...] = (
    "with",
    "and",
    "in",
    "the",
    "no",
    "without",
    "torch",
    "bnb",
    "hf",
    "weights",
    "weight",
    "moments",
    "states",
)
PLAIN += ("copies", "copy", "optimizer", "decoupled", "step", "distributed", "block", "blockwise", "cpu", "deepspeed")
WITHOUT = r"\b(?:no|without)\b[^a-z0-9]*(?:(?:fp32|32-?bit|weight|the)[^a-z0-9]*)*masters?\b"


class Optimizer(NamedTuple):
    """What an optimizer keeps and needs.

    states: values kept for each trained parameter [1]; state_bytes: of one, scales included [B]; 0: as Adam's moments
    step: temporaries of all parameters at once (foreach), of a tensor (loop), none (fused); empty: the framework's way
    in_backward: whether each gradient is used and freed as it comes; in_host: whether states wait in host memory
    masters: whether fp32 copies of the weights are kept; None when nothing is said
    """

    states: float = 2.0
    state_bytes: float = 0.0
    step: Literal["", "foreach", "loop", "fused"] = ""
    in_backward: bool = False
    in_host: bool = False
    masters: bool | None = None

    def moment_bytes(self, adam: Real) -> Real:
        """What stays on the accelerator for each parameter [B], where two moments of Adam would be `adam`."""
        return 0.0 if self.in_host else self.states * (self.state_bytes or adam / 2)


@cached
def optimizer(name: str) -> Optimizer:
    """An optimizer by its name and the words beside it, in any order. Raises UnknownName for what means nothing.

    >>> optimizer("paged_adamw_8bit").in_host, optimizer("adamw8bit").moment_bytes(8.0)
    (True, 2.06)
    >>> optimizer("adamw with fp32 master weights").masters, optimizer("adamw without master weights").masters
    (True, False)
    """
    table, spelled = _table(), name.lower().replace("_", "-")
    if spelled in table["optimizer"]:  # nothing beside the name
        facts = table["optimizer"][spelled]
        return _read(facts, facts.get("masters"))
    without = re.search(WITHOUT, spelled)
    found = _words(re.sub(WITHOUT, " ", spelled), (*table["optimizer"], *table["word"], *PLAIN))
    named = [word for word in found if word in table["optimizer"]]
    if not named or (left := _unread(re.sub(WITHOUT, " ", spelled), found)):
        known = [*optimizer_names(), *(f"adamw_{word}" for word in ("8bit", "fused"))]
        listed = f"Optimizers are {', '.join(optimizer_names())}, with words such as {', '.join(_WORDS)}."
        raise UnknownName("optimizer", left if named else name, known, listed)
    # Adam beside another name is what that other uses inside, or for embeddings.
    facts = dict(table["optimizer"][next((word for word in named if word not in ("adam", "adamw")), named[0])])
    moments = "master" not in spelled  # fp32 beside `master` is that of the masters
    for word in (word for word in found if word in table["word"]):
        if moments or word not in ("fp32", "bf16"):
            facts |= table["word"][word]
    return _read(facts, False if without else facts.get("masters"))


_WORDS = ("8bit", "4bit", "paged", "fused", "foreach", "layerwise", "in backward", "with master weights")


def optimizer_names() -> list[str]:
    """All optimizers whose states are known."""
    return list(_table()["optimizer"])


def _words(text: str, known: tuple[str, ...]) -> list[str]:
    """Known words in a text, the longest first where one begins another."""
    return re.findall("|".join(map(re.escape, sorted(known, key=len, reverse=True))), text)


def _unread(text: str, found: list[str]) -> str:
    """What of a text no known word stands for."""
    for word in sorted(found, key=len, reverse=True):
        text = text.replace(word, " ", 1)
    return " ".join(re.findall(r"[a-z0-9]+", text))


def _read(facts: Mapping[str, Any], masters: bool | None) -> Optimizer:
    return Optimizer(
        states=facts["states"],
        state_bytes=facts.get("bits", 0) / 8 * facts.get("scale", 1),
        step=facts.get("step", ""),
        in_backward=facts.get("in_backward", False),
        in_host=facts.get("in_host", False),
        masters=masters,
    )


@cached
def _table() -> dict[str, Any]:
    return toml((presets() / "optimizers.toml").read_text(encoding="utf-8"))
