"""Power, grids and buildings: what share of its rating a machine draws, what a kWh emits and costs."""

from estimator.catalog.facts import Fact, fact, facts
from estimator.catalog.files import cached, folders, number, rows, source_of
from estimator.errors import UnknownName

CLOUDS = {"google": "gcp", "amazon": "aws", "microsoft": "azure"}


def power_fraction(activity: str) -> Fact:
    """Drawn over rated power [1] while `serving`, `serving_small_batch`, `serving_large_batch`, `training` or `idle`.

    >>> power_fraction("training").value
    0.79
    """
    known = facts("power_fraction")
    if activity not in known:
        raise UnknownName("activity", activity, known)
    return known[activity]


def pue(provider: str = "industry") -> Fact:
    """Power usage effectiveness of a provider's data centres [1]; `industry` is the average of all, `own_room` too.

    >>> pue("aws").value, pue().value
    (1.15, 1.58)
    """
    known, name = facts("pue"), CLOUDS.get(provider.lower(), provider.lower())
    if name not in known:
        raise UnknownName("facility", provider, known, f"Known are {', '.join(known)}.")
    return known[name]


def electricity_price() -> Fact:
    """Price of electricity when none is given [USD/kWh]."""
    return fact("electricity_usd_per_kwh/default")


def depreciation_years() -> Fact:
    """Years over which an accelerator one owns is written off when none are given [year]."""
    return fact("depreciation_years/default")


def host_power_w() -> Fact:
    """Power of the rest of a node per accelerator [W]."""
    return fact("host_power_per_accelerator_w")


def carbon_intensity(code: str, provider: str = "") -> Fact:
    """Emissions of a grid [gCO2e/kWh]: a country's code or name, a cloud's region, or `provider:region`.

    >>> carbon_intensity("FRA").value, carbon_intensity("France").unit
    (56.039, 'gCO2e/kWh')
    >>> carbon_intensity("gcp:us-central1").value
    430.0
    """
    before, colon, region = code.partition(":")
    provider, code = (before, region) if colon else (provider, code)
    provider = CLOUDS.get(provider.strip().lower(), provider.strip().lower())
    grids = _grids()
    row = grids.get((provider, code.strip().lower())) or grids.get(("", code.strip().lower()))
    if row:
        return _grid(row)
    raise UnknownName(
        "grid", code, [place for _, place in grids], "Give a country (USA, France) or a region such as gcp:us-central1."
    )


def grid_or_world(code: str, provider: str = "") -> Fact:
    """`carbon_intensity`, or the world's average marked assumed for a region whose grid is not known."""
    try:
        return carbon_intensity(code, provider)
    except UnknownName:
        world = carbon_intensity("world")
        note = f"no figure for {code or 'the region'}: world average"
        return world._replace(context=note, source=world.source._replace(kind="recalled"))


@cached
def _grids() -> dict[tuple[str, str], dict[str, str]]:
    """From (provider or nothing, lower-case code or name) to the row; a region alone works when one cloud has it."""
    grids: dict[tuple[str, str], dict[str, str]] = {}
    for folder in folders("grid"):
        for row in rows(folder / "carbon_intensity.csv", ("scope", "provider", "code", "name", "g_co2e_per_kwh")):
            if not row["g_co2e_per_kwh"].strip():
                continue
            grids.setdefault((row["provider"], row["code"].lower()), row)
            grids.setdefault(("", row["code"].lower()), row)
            if row["scope"] == "country":
                grids.setdefault(("", row["name"].lower()), row)
    return grids


def _grid(row: dict[str, str]) -> Fact:
    """A grid's row, understood; two sources of one figure are the ends of its range."""
    value = number(row["g_co2e_per_kwh"], f"carbon_intensity.csv, {row['code']}") or 0.0
    other = number(row.get("other_g_co2e_per_kwh", ""), "other_g_co2e_per_kwh") or value
    key = f"carbon_intensity/{row['provider'] or row['scope']}/{row['code']}"
    context = "; ".join(filter(None, (row["name"], row["year"], row["note"])))
    low, high = sorted((value, other))
    source, unit = source_of(row), "gCO2e/kWh"
    return Fact(key=key, value=value, low=low, high=high, unit=unit, source=source, context=context)
