"""What the example shop sells, and the customers that a visitor may shop as."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import msgspec

from engine.values import EpochMs
from models.shoppers import DAY, Product

FILE = "catalogue.json"


def catalogue() -> list[dict[str, Any]]:
    """The products: id, name, category, price in major units, and the colour of its picture."""
    raw = files("service.shop").joinpath(FILE).read_bytes()
    return msgspec.json.decode(raw, type=list[dict[str, Any]])


def products() -> tuple[Product, ...]:
    """The catalogue as the simulated shoppers know it."""
    return tuple(Product(each["id"], each["name"], each["category"], each["price"]) for each in catalogue())


def people(now: EpochMs) -> Mapping[str, dict[str, object]]:
    """Customers to try the shop as, with their profiles by customer id."""
    return {
        "ada": {
            "customer.first_name": "Ada",
            "customer.tier": "gold",
            "customer.orders": 14,
            "customer.last_order": now - 120 * DAY,
            "customer.average_order": 86.4,
            "customer.newsletter": True,
        },
        "jonas": {
            "customer.first_name": "Jonas",
            "customer.tier": "bronze",
            "customer.orders": 0,
            "customer.newsletter": False,
        },
        "hana": {
            "customer.first_name": "Hana",
            "customer.tier": "platinum",
            "customer.orders": 41,
            "customer.last_order": now - 9 * DAY,
            "customer.average_order": 142.0,
            "customer.newsletter": True,
        },
    }
