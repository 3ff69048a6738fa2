"""Cards that nobody rents out are priced as owned ones, at a dated street price that says where it is from."""

import pytest

from estimator import estimate, layout
from estimator.catalog.prices import hourly_prices, street_price
from estimator.pricing import Price


def test_a_card_without_an_offer_costs_what_owning_it_does():
    street = street_price("rtx-4080")
    asked, owned = (
        estimate("prompt", model="8b", gpu="rtx-4080", price=price, weight_precision="int4")
        for price in (None, Price(purchase=street.usd))
    )

    assert hourly_prices("rtx-4080") is None
    assert asked.total_usd.value == owned.total_usd.value
    assert "street price" in str(asked)
    assert "recalled" in str(asked)


def test_a_provider_or_commitment_that_was_asked_for_is_no_street_price():
    assert not estimate("prompt", model="1b", gpu="rtx-4080", price=Price(commitment="spot")).total_usd.known


def test_consumer_cards_of_marketplaces_are_dated():
    for name in ("rtx-3090", "rtx-4090", "rtx-5090"):
        assert {row.provider for row in hourly_prices(name).rows} & {"vast", "runpod"}


def test_accelerators_compare_at_the_prices_of_the_same_providers():
    """Of H100 and B200 those count who list both; each has its best row, with its price."""
    found = layout(model="8b", gpu=["8xh100", "8xb200"], tokens=1e9)
    both = {"aws", "nebius", "vast", "verda"}

    assert {choice.accelerator for choice in found.each} == {"h100-sxm", "b200"}
    assert any("aws,nebius,vast,verda" in note for note in found.notes)
    for name, price in found.prices.items():
        assert price.value == pytest.approx(hourly_prices(name, provider=",".join(sorted(both))).median)
    assert "best of each accelerator" in str(found)


def test_where_no_two_providers_list_all_it_is_said():
    found = layout(model="8b", gpu=["8xmi300x", "8xb200"], tokens=1e9)

    assert any("who lists what" in note for note in found.notes)
