"""`estimator catalog refresh` and `estimator offers`: today's prices into one's own folder; who offers what fits."""

import argparse
import datetime
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from estimator import api
from estimator.catalog.accelerators import accelerator
from estimator.catalog.prices import price_rows
from estimator.catalog.prices.feeds import LICENCES, gpu_offers, hosted_prices
from estimator.catalog.prices.hourly import PriceRow
from estimator.catalog.refresh import refresh as refreshed
from estimator.cli.notes import note
from estimator.cli.options import asked, show
from estimator.errors import EstimatorError, InvalidInput
from estimator.export.catalogue import Catalogue, Row
from estimator.export.price_list import STALE_DAYS, age_days
from estimator.results import Estimate
from estimator.scenario import file_inputs, scenario

if TYPE_CHECKING:
    from estimator.decide.inverse import AcceleratorSet

R = TypeVar("R")
USUAL_NODE = 8  # accelerators of a machine, where nothing else is known
NETWORK = "network_gbit_per_s"  # between machines, as given
MOST_OFFERS = 40  # rows of an answer


def refresh(options: argparse.Namespace) -> None:
    """Fetch, write, and say what moved and what that does to a question."""
    today = datetime.date.today()
    folder = options.name or f"prices-{today.isoformat()}"
    question = _asked(options)
    before = _totals(question)
    failed: list[str] = []
    rented, hosted = _fetched(gpu_offers, failed), _fetched(hosted_prices, failed)
    if len(failed) == 2:
        raise InvalidInput("; ".join(failed))
    done = refreshed(folder, rented, hosted, today)
    for words in failed:
        note(words)
    licences = "; ".join(f"{name}: {licence}" for name, licence in LICENCES.items())
    note(f"{done.offers:,} offers and prices of {done.prices:,} APIs: use them with --facts {done.folder} ({licences})")
    if done.unknown:
        note(f"{done.unknown:,} offers are of accelerators that are not known here")
    rows = [_row(move.what, move.unit, move.before, move.now) for move in done.moves]
    after = _totals(question)
    rows += [_row(f"total, {what}", "USD", usd, after.get(what)) for what, usd in before.items()]
    show(options, Catalogue(tuple(rows or [_row("no price moved", "", None, None)])))


def _fetched(feed: Callable[[], list[R]], failed: list[str]) -> list[R]:
    """What a feed says; nothing where it cannot be reached, and the reason among those that failed."""
    try:
        return feed()
    except EstimatorError as error:
        failed.append(str(error))
        return []


def _row(what: str, unit: str, before: float | None, now: float | None) -> Row:
    change = now / before - 1 if before and now is not None else None
    return {"what": what, "before": before, "now": now, "change": change, "source": unit}


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The saved question whose totals are told before and after; none where none was named."""
    named = {name: getattr(options, name) for name in ("model", "gpu", "api") if getattr(options, name)}
    return {**named, "scenario_file": options.scenario} if named else {}


def _totals(question: dict[str, Any]) -> dict[str, float]:
    if not question:
        return {}
    answers = api.compare(**question).estimates
    return {one.title: one.total_usd.value for one in answers if isinstance(one, Estimate)}


def offers(options: argparse.Namespace) -> None:
    """The cheapest machines that hold a task, per provider and region; of equal cost the fewest machines come first.

    Machines between which no network is known hold together what fits in one of them, unless one is given.
    """
    from estimator.decide.inverse import accelerator_sets

    given = asked(options)
    inputs = file_inputs(options.scenario) if options.scenario else {}
    elsewhere = ("api", "scenario_file", "gpu", "gpus", "price")
    fixed = {name: value for name, value in given.items() if name not in elsewhere}
    if not fixed.get("model"):
        raise InvalidInput("name an LLM (--model 8b), and what it is for (--fits serve)")
    gpus = tuple(options.gpu.split(",")) if options.gpu else ()
    found = accelerator_sets(options.fits, gpus=gpus, **{**inputs, **fixed})
    listed = [(one, row) for one in found for row in _of(one.accelerator, options)]
    network = {name: value for name, value in {**inputs, **fixed}.items() if name == NETWORK}
    joined = scenario(**network).amount(NETWORK).value > 0
    held = [(one, row) for one, row in listed if row.count >= _together(one, joined)]
    if apart := len(listed) - len(held):
        note(
            f"{apart} offers of machines too small are left out: the accelerators have to be in one, or in full ones "
            f"with a network between them (--set {NETWORK}=N where none is known)"
        )
    if not held:
        raise InvalidInput("nobody lists an offer that fits as asked: leave --provider, --region or --commitment out")
    best: dict[tuple[str, str], Row] = {}
    for one, row in sorted(held, key=_as_bought):
        best.setdefault((row.provider, row.region), _offer(one.count, row))
    show(options, Catalogue(tuple(list(best.values())[:MOST_OFFERS])))


def _as_bought(offer: tuple["AcceleratorSet", PriceRow]) -> tuple[float, int, int, str, str, str]:
    """What all of it costs an hour, then fewer machines, then fewer accelerators; then by name."""
    found, row = offer
    machines = _machines(found.count, row)
    return _usd(machines, row), machines, found.count, row.accelerator, row.provider, row.region


def _of(name: str, options: argparse.Namespace) -> list[PriceRow]:
    """What is listed of one accelerator, as asked."""
    commitment = options.commitment or "on-demand"
    wanted = {"provider": options.provider, "region": options.region, "commitment": commitment}
    return [row for row in price_rows(name) if all(value in (None, getattr(row, key)) for key, value in wanted.items())]


def _together(found: "AcceleratorSet", joined: bool) -> int:
    """How many of the set have to be in one machine: a pod of TPUs is one; all of them, or a machine full of them.

    joined: whether a network was given; else full machines are joined where the device's network is known
    """
    device = accelerator(found.accelerator)
    if device.kind == "tpu":
        return 1
    alone = device.network_bytes_per_s is None and not joined
    return found.count if alone else min(found.count, device.per_node or USUAL_NODE)


def _machines(count: int, row: PriceRow) -> int:
    """Whole instances that hold so many accelerators."""
    return math.ceil(count / row.count)


def _usd(machines: int, row: PriceRow) -> float:
    """Of all of them an hour [USD]."""
    return machines * row.count * row.usd_per_hour


def _offer(count: int, row: PriceRow) -> Row:
    """As many whole instances as hold so many accelerators."""
    instances, days = _machines(count, row), age_days(row.valid_from)
    return {
        "accelerators": f"{count} x {row.accelerator}",
        "usd_per_hour": _usd(instances, row),
        "provider": row.provider,
        "region": row.region,
        "instances": f"{instances} x {row.instance or row.count}",
        "valid_from": f"{row.valid_from}{' STALE' if days > STALE_DAYS else ''}",
        "source": str(row.source),
    }
