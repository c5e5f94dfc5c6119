"""A unit's beds and holds as a plain dict: what any order of steps must come out as."""

from typing import Any

Held = dict[str, Any]  # unit, holder, asked (how many), beds (their ids), code, referral, state, extended, due
LIVE = {"requested", "placed"}
MOST_OPEN = 2


class BedModel:
    """`units` count a unit's beds: `free`, `taken`, the ids of those `offline`; `holds` knows every hold that ever was.

    Their `policy` is instant, request or quiet: the last is asked too, and does not show its counts.

    A hold that is `due` is over by the clock and not ended yet: it is as good as free for the next who comes, and has
    ended once anything of its unit is done.
    """

    def __init__(self) -> None:
        self.units: dict[str, dict[str, Any]] = {}
        self.holds: dict[str, Held] = {}

    def a_unit(self, which: int) -> str:
        return list(self.units)[which % len(self.units)]

    def a_hold(self, which: int) -> tuple[str, Held]:
        return list(self.holds.items())[which % len(self.holds)]

    def live(self, unit: str) -> dict[str, Held]:
        """What is held as the database has it, those that are due too."""
        return {id_: hold for id_, hold in self.holds.items() if hold["unit"] == unit and hold["state"] in LIVE}

    def open(self, unit: str) -> list[Held]:
        return [hold for hold in self.live(unit).values() if not hold["due"]]

    def has_most(self, unit: str, holder: str) -> bool:
        return [hold["holder"] for hold in self.open(unit)].count(holder) >= MOST_OPEN

    def free(self, unit: str) -> int:
        due = sum(len(hold["beds"]) for hold in self.live(unit).values() if hold["due"])
        return int(self.units[unit]["free"]) + due

    def has(self, unit: str, beds: int) -> bool:
        """Whether that many are to be had: where counts are shown all, else any."""
        return self.free(unit) >= (1 if self.units[unit]["policy"] == "quiet" else beds)

    def lacks_beds(self, hold: Held) -> bool:
        """Whether a request that could be answered has no beds to be had."""
        return hold["state"] == "requested" and not hold["due"] and not self.has(hold["unit"], hold["asked"])

    def moved(self, unit: str, *, held_are_empty: bool) -> int:
        """By how much beds on hold, counted as empty or not, differ from beds that are free now."""
        return sum(len(hold["beds"]) * (int(hold["due"]) - int(held_are_empty)) for hold in self.live(unit).values())

    def may(self, hold: Held, done: object, allowed: object) -> bool:
        """Whether it was to be done; what is over or not in the state for it is refused."""
        if hold["state"] in LIVE and not hold["due"] and allowed:
            assert not isinstance(done, str), done
            self.settle(hold["unit"])
            return True
        assert done == "hold-ended"
        return False

    def made(self, made: Any, beds: int, referral: str | None) -> None:
        """Whoever is to be asked has taken nothing."""
        assert not isinstance(made, str), made
        self.settle(made.unit_id)
        self.holds[made.id] = hold = {
            "unit": made.unit_id,
            "holder": made.holder,
            "asked": beds,
            "beds": [],
            "code": made.door_code,
            "referral": referral,
            "state": "requested",
            "extended": False,
            "due": False,
        }
        assert (made.beds, made.state == "placed") == (beds, self.units[made.unit_id]["policy"] == "instant")
        if made.state == "placed":
            self.take(hold, made)
        else:
            assert (made.state, made.bed_ids) == ("requested", [])

    def take(self, hold: Held, made: Any) -> None:
        """It has what it asked for, or at a quiet unit what there is."""
        state = self.units[hold["unit"]]
        assert made.beds == len(set(made.bed_ids)) == min(hold["asked"], state["free"])
        state["free"] -= made.beds
        hold["state"], hold["beds"] = "placed", made.bed_ids

    def come(self, hold: Held, made: Any) -> None:
        """Who is let in without an answer has it by that."""
        if hold["state"] == "requested":
            self.take(hold, made)
        self.end(hold, "checked_in")

    def settle(self, unit: str) -> None:
        for hold in self.live(unit).values():
            if hold["due"]:
                self.end(hold, "expired")

    def end(self, hold: Held, state: str) -> None:
        hold["state"], hold["due"] = state, False
        self.units[hold["unit"]]["taken" if state == "checked_in" else "free"] += len(hold["beds"])
