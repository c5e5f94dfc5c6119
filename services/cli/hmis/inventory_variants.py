"""Makes rows of Inventory.csv what a real export's may be and the sample's are not, one named way at a time."""

import random
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

Record: TypeAlias = dict[str, str]


def _with(**cells: str) -> Callable[[Record], list[Record]]:
    return lambda record: [record | cells]


def _overlap(record: Record) -> list[Record]:
    """Let another row for the same beds begin later, and the old one not end."""
    later = {"InventoryID": f"{record['InventoryID']}o", "InventoryStartDate": "2022-01-01"}
    return [record, record | later | {"BedInventory": str(int(record["BedInventory"]) + 1)}]


INVENTORY_FAULTS: Final[Mapping[str, Callable[[Record], list[Record]]]] = MappingProxyType(
    {
        "overlap": _overlap,
        "ended": _with(InventoryEndDate="2022-01-01"),
        "future": _with(InventoryStartDate="2022-12-01"),
        "deleted": _with(DateDeleted="2022-10-01 08:00:00"),
        "zero-beds": _with(BedInventory="0"),
        "too-many-beds": _with(BedInventory="501"),
        "voucher": _with(ESBedType="3"),
        "household-type-bad": _with(HouseholdType="2"),
        "start-bad": _with(InventoryStartDate="27-01-2021"),
        "end-bad": _with(InventoryEndDate="soon"),
        "veterans": lambda record: [record | {"VetBedInventory": record["BedInventory"], "OtherBedInventory": "0"}],
    }
)


def with_faults(records: Iterable[Record], faults: Iterable[str], chance: random.Random) -> list[Record]:
    """Return the rows with each fault in a row of its own, of those that were in force; KeyError for no such fault."""
    rows = list(records)
    usable = [row["InventoryID"] for row in rows if not row["InventoryEndDate"] and int(row["BedInventory"])]
    names = list(faults)
    chosen = dict(zip(chance.sample(usable, len(names)), names, strict=True))
    changed: list[Record] = []
    for row in rows:
        fault = chosen.get(row["InventoryID"])
        changed += INVENTORY_FAULTS[fault](row) if fault else [row]
    return changed
