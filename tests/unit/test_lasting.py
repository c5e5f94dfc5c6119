"""A doubt that lasts is counted at once and paged once, by why it lasts and never by whose it is."""

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
