"""Doubts that last are counted at once and paged once, by why they last and never by whose they are."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.kit.lasting import Lasting

WHYS = ("restating", "unknown-client")
SERVICE = "test-lasting"


def told(why: str) -> tuple[float | None, float | None]:
    of = {"service": SERVICE, "why": why}
    return (
        REGISTRY.get_sample_value("threshold_in_doubt", of),
        REGISTRY.get_sample_value("threshold_in_doubt_oldest_seconds", of),
    )


def test_each_doubt_is_paged_once_and_anew_when_it_comes_again() -> None:
    now = [0.0]
    lasting = Lasting(SERVICE, WHYS, 30.0, lambda: now[0])
    with capture_logs() as lines:
        lasting.look({})
        assert told("restating") == told("unknown-client") == (0, 0)
        lasting.look({"maria": "restating", "ben": "unknown-client"})
        now[0] = 29.0
        lasting.look({"maria": "restating", "ben": "unknown-client", "juan": "unknown-client"})
        assert (told("restating"), told("unknown-client"), lines) == ((1, 29), (2, 29), [])
        for now[0] in (30.0, 31.0):
            lasting.look({"maria": "restating", "ben": "unknown-client"})
        paged = [("error", "restating", 30), ("error", "unknown-client", 30)]
        assert [(line["log_level"], line["why"], line["seconds"]) for line in lines] == paged
        lasting.look({})
        assert told("restating") == told("unknown-client") == (0, 0)
        lasting.look({"maria": "restating"})
        now[0] = 61.0
        lasting.look({"maria": "restating"})
    assert len(lines) == 3
    assert not [name for name in ("maria", "ben", "juan") if name in str(lines)]


def test_however_many_last_for_one_reason_it_is_one_page_until_none_does() -> None:
    now = [0.0]
    lasting = Lasting(SERVICE, WHYS, 30.0, lambda: now[0])
    with capture_logs() as lines:
        for number in range(100):
            now[0] = float(number)
            lasting.look({f"forged {one}": "unknown-client" for one in range(number + 1)})
        assert [(line["why"], line["count"]) for line in lines] == [("unknown-client", 31)]
        lasting.look({"forged 99": "unknown-client"})
        now[0] = 150.0
        lasting.look({"forged 99": "unknown-client"})
    assert [line["count"] for line in lines] == [31, 1]
