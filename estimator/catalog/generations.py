"""Generations of accelerators: whose kernels and fitted factors they share. Open vocabulary."""

from typing import NamedTuple

from estimator.catalog.files import cached, preset_files, rows


class Generation(NamedTuple):
    """What the chips of a generation have in common beyond their own figures.

    family: the generation whose kernel tables and fitted factors hold for it: itself, or a relative until measured
    own_attention: whether fused attention reaches its rates only with kernels written for it, not with FlashAttention-2
    """

    name: str
    family: str
    own_attention: bool = False


@cached
def generation(name: str) -> Generation:
    """The facts about a generation; one that is not listed is a family of its own with nothing special.

    >>> generation("Hopper+Grace").family, generation("Ada")
    ('Hopper', Generation(name='Ada', family='Ada', own_attention=False))
    """
    for row in (row for path in preset_files("generations.csv") for row in rows(path, ("generation", "family"))):
        if row["generation"] == name:
            return Generation(name, row["family"], row.get("attention") == "own")
    return Generation(name, name)
