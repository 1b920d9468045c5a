"""A web shop that does not exist: visitors click, fill baskets, order, pay, and get parcels.

Pure: time and chance are passed in, events come out. An order is followed by its payment within a second and, if that
was authorised, by its shipment a few seconds later, so the topics tell one coherent story.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from tailrace.base.rand import Random

CLICKS: Final = "shop.clicks"
ORDERS: Final = "shop.orders"
PAYMENTS: Final = "shop.payments"
SHIPMENTS: Final = "shop.shipments"

TOPICS: Final = {CLICKS: 4, ORDERS: 3, PAYMENTS: 3, SHIPMENTS: 1}
"""The topics and their partitions."""

PRODUCTS: Final = (
    ("espresso machine", 249.00),
    ("coffee grinder", 89.90),
    ("moka pot", 34.50),
    ("milk frother", 27.00),
    ("kettle", 59.00),
    ("filter papers", 4.20),
    ("tea sampler", 18.60),
    ("travel mug", 22.90),
)
COUNTRIES: Final = ("AT", "BR", "CA", "DE", "ES", "FR", "IN", "JP", "KE", "NZ", "PL", "US")
DEVICES: Final = ("phone", "laptop", "tablet")

VISITORS_MAX: Final = 200
"""Visitors in the shop at once; a new one takes the place of one who leaves."""
DECLINED_PERCENT: Final = 6


Choice = TypeVar("Choice")


class ShopEvent(NamedTuple):
    """One record to be: the key keeps a visitor's or an order's events in order."""

    topic: str
    key: str
    body: dict[str, Any]


@dataclass(slots=True)
class Visitor:
    """Someone in the shop."""

    visitor_id: str
    country: str
    device: str
    basket: list[tuple[str, float]] = field(default_factory=list)


class Shop:
    """The shop's state. `next_event` is the only thing that changes it."""

    def __init__(self, rand: Random) -> None:
        self._rand = rand
        self._visitors: list[Visitor] = []
        self._due: list[tuple[float, int, ShopEvent]] = []
        self._orders = 0
        self._planned = 0
        self._arrivals = 0

    def next_event(self, now_ms: float) -> ShopEvent:
        """The next thing that happens, at `now_ms` on any clock that does not go back."""
        if self._due and self._due[0][0] <= now_ms:
            event = heapq.heappop(self._due)[2]
            self._follow_up(event, now_ms)
            return event
        visitor = self._visitor()
        chance = self._rand.integer(1, 100)
        if chance <= 14 and visitor.basket:
            return self._order(visitor, now_ms)
        if chance <= 34:
            return self._click(visitor, "basket")
        if chance <= 38:
            self._visitors.remove(visitor)
            return self._click(visitor, "leave")
        return self._click(visitor, "view")

    def _visitor(self) -> Visitor:
        if len(self._visitors) < VISITORS_MAX:
            self._arrivals += 1
            country, device = self._one_of(COUNTRIES), self._one_of(DEVICES)
            self._visitors.append(Visitor(f"v{self._arrivals:05d}", country, device))
            return self._visitors[-1]
        return self._one_of(self._visitors)

    def _click(self, visitor: Visitor, action: str) -> ShopEvent:
        product, price = self._one_of(PRODUCTS)
        body = {"visitor": visitor.visitor_id, "action": action, "country": visitor.country, "device": visitor.device}
        if action != "leave":
            body["product"] = product
        if action == "basket":
            visitor.basket.append((product, price))
        return ShopEvent(CLICKS, visitor.visitor_id, body)

    def _order(self, visitor: Visitor, now_ms: float) -> ShopEvent:
        self._orders += 1
        order_id = f"o{self._orders:06d}"
        items, visitor.basket = visitor.basket, []
        body = {
            "order": order_id,
            "visitor": visitor.visitor_id,
            "country": visitor.country,
            "items": [name for name, _ in items],
            "total": round(sum(price for _, price in items), 2),
        }
        declined = self._rand.integer(1, 100) <= DECLINED_PERCENT
        status = "declined" if declined else "authorised"
        payment = {"order": order_id, "amount": body["total"], "status": status}
        self._later(now_ms + self._rand.uniform(100, 900), ShopEvent(PAYMENTS, order_id, payment))
        return ShopEvent(ORDERS, order_id, body)

    def _follow_up(self, event: ShopEvent, now_ms: float) -> None:
        if event.topic == PAYMENTS and event.body["status"] == "authorised":
            parcel = {"order": event.key, "carrier": self._one_of(("post", "courier", "bike"))}
            self._later(now_ms + self._rand.uniform(1500, 4000), ShopEvent(SHIPMENTS, event.key, parcel))

    def _later(self, due_ms: float, event: ShopEvent) -> None:
        self._planned += 1  # breaks ties, so that events are never compared
        heapq.heappush(self._due, (due_ms, self._planned, event))

    def _one_of(self, choices: Sequence[Choice]) -> Choice:
        return choices[self._rand.integer(0, len(choices) - 1)]
