"""What an address holds: a question, what further scenarios have otherwise, and the version it was asked of.

`/?model=8b&gpu=h100&samples=2000&b.gpu=a100&v=0.1.0`: empty fields and defaults are left out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import estimator
from estimator.errors import InvalidInput, clipped
from estimator.numerals import numeral
from estimator.scenario import default_scenario

FIRST = {"model": "7b", "gpu": "a100"}  # what is shown before anything is asked
LETTERS = "bcd"
VERSION = "v"


class State(NamedTuple):
    """A question, further scenarios by letter as what differs from it, and the version of the link."""

    asked: dict[str, str]
    others: dict[str, dict[str, str]]
    version: str = ""

    def question(self, letter: str = "") -> dict[str, object]:
        """What is asked in a scenario; hardware of its own replaces that of the first."""
        different = self.others.get(letter, {})
        left_out = OWN_PLACE if OWN_PLACE & set(different) else set()
        return {**{k: v for k, v in self.asked.items() if k not in left_out}, **different}

    def query(self, picture: Mapping[str, str] | None = None) -> str:
        """As the query of an address."""
        pairs = [*self.asked.items(), *((f"{one}.{k}", v) for one, d in self.others.items() for k, v in d.items())]
        version = [(VERSION, estimator.__version__)] if pairs else []
        return urlencode([*pairs, *version, *(picture or {}).items()])


OWN_PLACE = {"api", "gpu"}


def state(pairs: Iterable[tuple[str, str]]) -> State:
    """The state that a query means: what is empty or a default is not asked."""
    found = State({}, {})
    seen, version = set(), ""
    for name, text in pairs:
        if name in seen:
            raise InvalidInput(f"{clipped(name)} is given twice: say one")
        seen.add(name)
        letter, dot, inner = name.partition(".")
        if name == VERSION:
            version = text[:40]
        elif dot and letter in LETTERS and text.strip():
            found.others.setdefault(letter, {})[inner] = text.strip()
        elif not (dot and letter in LETTERS) and text.strip() and not usual(name, text.strip()):
            found.asked[name] = text.strip()
    return State(found.asked or (dict(FIRST) if not found.others else {}), dict(sorted(found.others.items())), version)


def usual(name: str, text: str) -> bool:
    """Whether a value is what is assumed anyway.

    >>> usual("samples", "5,000"), usual("samples", "2k"), usual("method", "lora"), usual("model", "7b")
    (True, False, True, False)
    """
    scenario = default_scenario()
    if name in scenario.choices:
        return text == str(scenario.choices[name].value).replace("True", "true").replace("False", "false")
    entry = scenario.amounts.get(name)
    return entry is not None and numeral(text) == entry.value
