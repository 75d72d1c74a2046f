"""Loads of taxi months: what the warehouse holds afterwards, whatever the file is like."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest

from bench.months import Dirt, write_month
from tests.integration import warehouse_fixtures
from tests.integration.warehouse_fixtures import Warehouse

shared_warehouse = warehouse_fixtures.shared_warehouse
warehouse = warehouse_fixtures.warehouse


def test_a_month(warehouse: Warehouse) -> None:
    month = write_month(warehouse.folder, "yellow", "2019-01", 1000)
    load = warehouse.load("yellow", "2019-01")
    assert load["state"] == "LOADED"
    assert load["rows_read"] == load["rows_loaded"] == 1000
    assert load["total_amount"] == month.total_amount
    assert warehouse.value("SELECT sum(total_amount) FROM trips.yellow") == month.total_amount
