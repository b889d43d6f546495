"""What a month of an intent costs: a range with its date and its assumptions, never a bare number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxport.deploy.intent import Intent
from onnxport.deploy.prices import Prices, Range, load_prices

HOURS = 730  # a twelfth of a year
_CAPACITY_UNITS = Range(0.0, 0.5, 2.0)  # of a load balancer, on average
_BALANCER_ADDRESSES = Range(2, 2, 3)  # one in each zone
_LOG_GB = Range(0.05, 0.5, 5.0)  # of a machine, in a month
_REGISTRY_GB = Range(0.1, 0.5, 2.0)
_DEPLOYMENTS = Range(1, 4, 20)  # in a month; with blue/green two environments run for an hour
_SHARE = 1 / 3  # of the way from min to max, where the expected number of machines is


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the bill, in USD a month."""

    name: str
    month: Range


@dataclass(frozen=True, slots=True)
class Estimate:
    """date, source: of the prices. unpriced: instance types without a price in the table, which aren't counted; meant:
    the one with a price that the first of them is nearly called.
    """

    region: str
    date: str
    source: str
    items: tuple[Item, ...]
    assumptions: tuple[str, ...]
    unpriced: tuple[str, ...] = ()
    meant: str | None = None

    @property
    def month(self) -> Range:
        return sum((item.month for item in self.items), Range(0, 0, 0))

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain data, amounts rounded to cents."""
        return {
            "currency": "USD",
            "period": "month",
            "region": self.region,
            "date": self.date,
            "source": self.source,
            **_rounded(self.month),
            "items": [{"name": item.name, **_rounded(item.month)} for item in self.items],
            "assumptions": list(self.assumptions),
            "unpriced": list(self.unpriced),
        }

    def lines(self) -> Iterator[str]:
        """The estimate for people."""
        total = self.month
        more = f", without the machines ({', '.join(self.unpriced)})" if self.unpriced else ""
        yield (
            f"about {total.expected:,.2f} USD a month{more}, between {total.low:,.2f} and {total.high:,.2f}; "
            f"an assumption, prices of {self.date}"
        )
        width = max(len(item.name) for item in self.items)
        for item in self.items:
            month = item.month
            yield f"  {item.name:<{width}} {month.expected:9,.2f}  ({month.low:,.2f} to {month.high:,.2f})"
        for assumption in self.assumptions:
            yield f"  assumed: {assumption}"


def _rounded(month: Range) -> dict[str, float]:
    return {
        "min": round(month.low, 2),
        "expected": round(month.expected, 2),
        "max": round(month.high, 2),
    }


def estimate(
    intent: Intent, prices: Prices | None = None, *, environments: int | None = None
) -> Estimate:
    """A month of an intent. prices: the shipped table by default. environments: how many there are; None: as many as
    the intent will have.
    """
    prices = prices or load_prices()
    running = tuple(_running(intent, prices))
    factor = prices.factor(intent.region)
    items = [*running, _second(intent, running, environments), *_beside(intent, prices)]
    first = intent.instances.types[0]
    is_priced = prices.machine_hour(first) is not None
    return Estimate(
        region=intent.region,
        date=prices.date.isoformat(),
        source=prices.source,
        items=tuple(Item(item.name, item.month * factor) for item in items),
        assumptions=tuple(_assumptions(intent, prices, environments)),
        unpriced=() if is_priced else (first,),
        meant=None if is_priced else prices.nearest(first),
    )


def over_budget(intent: Intent, told: Estimate) -> str | None:
    """A sentence where the expected cost is above the intent's budget, or can't be compared with it; else None."""
    if intent.budget <= 0:
        return None
    if told.unpriced:
        meant = f" (did you mean {told.meant}?)" if told.meant else ""
        return (
            f"the price of {told.unpriced[0]} isn't known here{meant}, so the budget of {intent.budget:,.2f} USD can't "
            "be held; choose another instance type, or write budget = 0"
        )
    expected = told.month.expected
    if expected <= intent.budget:
        return None
    return (
        f"about {expected:,.2f} USD a month are expected (prices of {told.date}), and the budget is "
        f"{intent.budget:,.2f}; raise budget, or take fewer or smaller machines"
    )


# ------------------------------------------------------------------------------------------------------------- items


def _machines(intent: Intent) -> Range:
    least, most = intent.instances.min, intent.instances.max
    return Range(least, least + (most - least) * _SHARE, most)


def _running(intent: Intent, prices: Prices) -> Iterator[Item]:
    """What an environment costs as long as it runs."""
    machines, each = _machines(intent), prices.each
    first = intent.instances.types[0]
    hour = prices.machine_hour(first)
    if hour is not None:
        yield Item(f"machines ({first})", machines * (hour * HOURS))
    volume = intent.instances.volume_gb * each["gp3_gb_month"]
    yield Item(f"disks ({intent.instances.volume_gb} GB gp3)", machines * volume)
    addresses = machines if intent.network.public_ip else Range(0, 0, 0)
    if intent.is_balanced:
        addresses = addresses + _BALANCER_ADDRESSES
        yield Item("load balancer", Range(1, 1, 1) * (each["balancer_hour"] * HOURS))
        units = each["balancer_capacity_unit_hour"] * HOURS
        yield Item("load balancer's capacity", _CAPACITY_UNITS * units)
    yield Item("public IPv4 addresses", addresses * (each["public_ipv4_hour"] * HOURS))


def _second(intent: Intent, running: tuple[Item, ...], environments: int | None) -> Item:
    """Blue/green: two environments side by side, for a while or for good."""
    month = sum((item.month for item in running), Range(0, 0, 0))
    if _are_two(environments):
        return Item("second environment", month)
    if intent.update.strategy != "bluegreen":
        return Item("machines during updates", month * (_DEPLOYMENTS * (1 / HOURS)))
    if intent.update.keep and environments is None:
        return Item("second environment, kept", month * Range(0, 1, 1))
    return Item("second environment during updates", month * (_DEPLOYMENTS * (1 / HOURS)))


def _are_two(environments: int | None) -> bool:
    return environments is not None and environments > 1


def _beside(intent: Intent, prices: Prices) -> Iterator[Item]:
    if intent.logs.stream:
        yield Item("logs", _machines(intent) * _LOG_GB * prices.each["logs_gb"])
    if not intent.image.repository:
        yield Item("images in ECR", _REGISTRY_GB * prices.each["registry_gb_month"])


# ------------------------------------------------------------------------------------------------------- assumptions


def _assumptions(intent: Intent, prices: Prices, environments: int | None) -> Iterator[str]:
    yield f"prices of {prices.date.isoformat()}, from {prices.source}"
    yield "on demand for every hour, without free tier, discounts, taxes or burst credits"
    yield "the first 100 GB that leave AWS a month are free, and more aren't counted"
    known = prices.regions.get(intent.region)
    if known is None:
        guess = prices.other_regions
        yield (
            f"no prices of {intent.region} are known: {guess.low:g} to {guess.high:g} times those of "
            f"{prices.reference_region}"
        )
    elif known != 1:
        yield f"everything in {intent.region} costs {known:g} times what it does in {prices.reference_region}"
    if intent.instances.max > intent.instances.min:
        yield f"{_machines(intent).expected:.1f} of {intent.instances.max} machines run on average"
    kept = intent.update.keep and environments is None
    if intent.update.strategy == "bluegreen" and not kept and not _are_two(environments):
        yield f"{_DEPLOYMENTS.expected:g} deployments a month, with a second environment for an hour each"
    if not intent.network.public_ip:
        yield "the NAT of the machines isn't counted"
