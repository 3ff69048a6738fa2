"""What can go wrong, as one family.

Every error is one line that says what is wrong, the nearest valid names, and what to do.

EstimatorError                 base; the command prints it on stderr and exits 2
├── InvalidInput               a value out of range, of the wrong kind, or a file that is not what it claims
│   ├── NotNamed               something left unsaid that this needs: an accelerator, an LLM whose shape is known
│   └── UnknownName            a name that nothing answers to; carries the nearest ones that do
├── DoesNotFit                 a plan that cannot run on the hardware; says by how much and what would
│   └── TooFew                 more accelerators of the kind would do
└── MissingExtra               an optional dependency that is not installed
"""

from collections.abc import Iterable
from functools import lru_cache

_LONGEST, _ENDING = 480, 160  # characters of a message that are shown, and of them at its end


class EstimatorError(Exception):
    """Base of all errors a user can cause: one line that can be shown, and the same again in another process.

    >>> import pickle
    >>> pickle.loads(pickle.dumps(UnknownName("stage", "rga", ["rag"]))).nearest
    ('rag',)
    """

    def __init__(self, message: object = "") -> None:
        line = " ".join(str(message).split())
        shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
        end = shown[-_ENDING:]  # where it says what to do
        super().__init__(shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - _ENDING - 5]} ... {end}")

    def __reduce__(self) -> tuple[object, ...]:
        """Made again from its message and attributes, whatever arguments its class takes."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[EstimatorError], args: tuple[object, ...]) -> EstimatorError:
    return kind.__new__(kind, *args)


class InvalidInput(EstimatorError, ValueError):
    """A value or a file that cannot be used as given."""


class NotNamed(InvalidInput):
    """What this approach needs was not named; others may do without."""


class UnknownName(InvalidInput):
    """A name that is not in the catalogue.

    >>> str(UnknownName("accelerator", "a10x", ["a100", "a10", "t4"], "To add one, see hardware/README.md."))
    "unknown accelerator 'a10x'. Did you mean 'a10' or 'a100'? To add one, see hardware/README.md."
    """

    def __init__(self, what: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        self.nearest = tuple(nearest(name, known))
        guess = f" Did you mean {' or '.join(map(repr, self.nearest))}?" if self.nearest else ""
        super().__init__(f"unknown {what} {clipped(name, 60)}.{guess}{' ' + remedy if remedy else ''}")


class DoesNotFit(EstimatorError):
    """A plan that needs more memory than the hardware has."""


class TooFew(DoesNotFit):
    """A plan that more accelerators of the same kind would hold."""


class MissingExtra(EstimatorError):
    """An optional library that is not installed.

    >>> str(MissingExtra("torch", "measure"))
    "this needs torch, which is not installed. Install the extra: pip install 'llm-approach-estimator[measure]'"
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"this needs {library}, which is not installed. "
            f"Install the extra: pip install 'llm-approach-estimator[{extra}]'"
        )


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names closest to `name`, best first; none when nothing is close."""
    return [*_nearest(str(name).lower()[:100], tuple(sorted(set(known))), most)]


@lru_cache(256)
def _nearest(name: str, known: tuple[str, ...], most: int) -> tuple[str, ...]:
    """The same, found once: files of many runs have the same names again and again."""
    import difflib  # only when something went wrong

    return tuple(difflib.get_close_matches(name, known, n=most, cutoff=0.55))


def clipped(text: object, most: int = 80) -> str:
    """`repr` of a user's text, short enough for one line."""
    shown = repr(text)
    return shown if len(shown) <= most else shown[: most - 4] + "..." + shown[0]
