"""Costs: a range over the bounds of the machines, with the date and the assumptions that it stands on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from importlib.resources import files
from typing import Any

import pytest

from onnxport.deploy.cost import HOURS, Estimate, estimate, over_budget
from onnxport.deploy.intent import Image, Instances, Intent, Logs, Network, Update
from onnxport.deploy.prices import Range, load_prices, parse_prices
from onnxport.errors import SettingsError

SINGLE = Intent(app="iris")
BALANCED = Intent(app="iris", instances=Instances(layout="load-balanced", min=2, max=8))
TABLE = files("onnxport.deploy").joinpath("prices.json").read_text("utf-8")


def item(told: Estimate, word: str) -> Range:
    return next(item.month for item in told.items if word in item.name)


def test_the_defaults_cost_what_the_table_says() -> None:
    told = estimate(SINGLE)
    assert item(told, "machines (t3.small)") == Range(*[0.0832 / 4 * HOURS] * 3)
    assert item(told, "gp3").expected == pytest.approx(16 * 0.08)
    assert item(told, "IPv4").expected == pytest.approx(0.005 * HOURS)
    assert item(told, "logs").expected == pytest.approx(0.5 * 0.5)
    assert item(estimate(BALANCED), "logs").high == pytest.approx(8 * 5 * 0.5)
    assert not any("balancer" in item.name for item in told.items)
    assert 18 < told.month.low < told.month.expected < told.month.high < 30


def test_the_range_is_that_of_the_machines() -> None:
    hour = 0.0832 / 4 * HOURS
    told = item(estimate(BALANCED), "machines (t3.small)")
    assert (told.low, told.high) == pytest.approx((2 * hour, 8 * hour))
    assert told.expected == pytest.approx(4 * hour)


def test_a_load_balancer_has_a_price_and_addresses_of_its_own() -> None:
    told = estimate(BALANCED)
    assert item(told, "load balancer").expected == pytest.approx(0.0225 * HOURS)
    assert item(told, "capacity").low == 0
    assert item(told, "IPv4").low == pytest.approx((2 + 2) * 0.005 * HOURS)
    private = replace(BALANCED, network=Network(public_ip=False))
    assert item(estimate(private), "IPv4").low == pytest.approx(2 * 0.005 * HOURS)
    assert "the NAT of the machines isn't counted" in estimate(private).assumptions


def test_what_isnt_used_isnt_paid() -> None:
    intent = replace(SINGLE, logs=Logs(stream=False), image=Image(repository="me/iris"))
    names = [item.name for item in estimate(intent).items]
    assert not any("logs" in name or "ECR" in name for name in names)


def test_a_kept_environment_costs_as_much_again() -> None:
    kept = estimate(replace(SINGLE, update=Update(keep=True)))
    assert item(kept, "kept").high == pytest.approx(item(kept, "machines").high + 1.28 + 3.65)
    assert kept.month.expected > 1.9 * estimate(SINGLE).month.low


def test_the_environments_that_are_there_are_counted() -> None:
    """One for each, whatever the intent keeps: `--keep` may have been a flag of another day."""
    kept = replace(SINGLE, update=Update(keep=True))
    for intent in (SINGLE, kept):
        one, two = estimate(intent, environments=1), estimate(intent, environments=2)
        assert one.month == estimate(SINGLE).month
        assert item(two, "second environment") == Range(*[item(estimate(kept), "kept").high] * 3)
        assert two.month.low > 1.8 * one.month.low
        assert any("4 deployments a month" in told for told in one.assumptions)
        assert not any("4 deployments a month" in told for told in two.assumptions)


def test_prices_of_regions() -> None:
    there = estimate(replace(SINGLE, region="eu-central-1"))
    here = estimate(SINGLE)
    assert there.month.expected == pytest.approx(1.16 * here.month.expected)
    assert any("eu-central-1 costs 1.16 times" in told for told in there.assumptions)
    unknown = estimate(replace(SINGLE, region="il-central-1"))
    assert item(unknown, "machines").low < item(unknown, "machines").expected
    assert any("no prices of il-central-1 are known" in told for told in unknown.assumptions)


@pytest.mark.parametrize("intent", [SINGLE, BALANCED, replace(BALANCED, region="me-south-1")])
def test_no_figure_without_date_and_assumptions(intent: Intent) -> None:
    told = estimate(intent)
    day = load_prices().date.isoformat()
    first, *others = told.lines()
    assert day in first
    assert "an assumption" in first
    assert f"  assumed: prices of {day}, from secondary lists" in "\n".join(others)
    shown = told.to_json()
    assert shown["date"] == day
    assert shown["assumptions"]
    assert shown["min"] <= shown["expected"] <= shown["max"]
    assert json.loads(json.dumps(shown)) == shown
    for each in told.items:
        assert 0 <= each.month.low <= each.month.expected <= each.month.high


def test_the_table_is_no_older_than_the_code() -> None:
    assert date(2026, 11, 1) <= load_prices().date


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"date": None}, "has no date, and a cost without one is no estimate"),
        ({"date": ""}, "has no date"),
        ({"date": "soon"}, "has no date"),
        ({"date": "2026-13-01"}, "isn't of its form"),
        ({"source": ""}, "doesn't say where it is from"),
        ({"gp3_gb_month": -1}, "isn't of its form"),
        ({"gp3_gb_month": "0.08"}, "isn't of its form"),
        ({"logs_gb": float("nan")}, "isn't of its form"),
        ({"regions": {"us-east-1": True}}, "isn't of its form"),
        ({"sizes": []}, "isn't of its form"),
        ({"other_regions": [1]}, "isn't of its form"),
    ],
    ids=range(11),
)
def test_a_table_that_cant_be_trusted_gives_no_figure(change: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        parse_prices(json.dumps(json.loads(TABLE) | change))


def test_a_table_that_is_none_is_refused() -> None:
    for text in ("", "[]", "{}", '"x"'):
        with pytest.raises(SettingsError, match="the table of prices"):
            parse_prices(text)


# ------------------------------------------------------------------------------------------------------------ budget


def test_a_budget_that_is_kept() -> None:
    assert over_budget(SINGLE, estimate(SINGLE)) is None
    assert over_budget(replace(SINGLE, budget=50.0), estimate(SINGLE)) is None


def test_the_expected_cost_is_held_against_the_budget() -> None:
    told = estimate(SINGLE)
    expected = told.month.expected
    assert over_budget(replace(SINGLE, budget=expected), told) is None
    assert over_budget(replace(SINGLE, budget=expected - 0.01), told) is not None


def test_a_budget_that_is_exceeded() -> None:
    told = over_budget(replace(BALANCED, budget=50.0), estimate(BALANCED))
    assert told is not None
    assert "the budget is 50.00; raise budget, or take fewer or smaller machines" in told
    assert load_prices().date.isoformat() in told


def test_a_machine_without_a_price_is_told_and_no_budget_covers_it() -> None:
    intent = replace(SINGLE, instances=Instances(types=("p5.48xlarge",)), budget=10_000.0)
    told = estimate(intent)
    assert told.unpriced == ("p5.48xlarge",)
    assert "without the machines (p5.48xlarge)" in next(told.lines())
    assert "the price of p5.48xlarge isn't known here" in (over_budget(intent, told) or "")
    assert over_budget(replace(intent, budget=0.0), told) is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("t3.smal", "t3.small"),
        ("t33.small", "t3.small"),
        ("m7i-flx.large", "m7i-flex.large"),
        ("c5.2large", "c5.2xlarge"),
        ("p5.48xlarge", None),
        ("t3.tiny", None),
    ],
)
def test_a_type_that_is_nearly_another_is_told_as_that(given: str, meant: str | None) -> None:
    intent = replace(SINGLE, instances=Instances(types=(given,)), budget=50.0)
    told = over_budget(intent, estimate(intent)) or ""
    asked = f" (did you mean {meant}?)" if meant else ""
    assert f"the price of {given} isn't known here{asked}, so the budget" in told
