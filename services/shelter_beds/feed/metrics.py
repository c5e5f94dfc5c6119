"""How the feed fares; no label holds an id."""

from typing import Final

from prometheus_client import Counter, Gauge

CONNECTIONS: Final = Gauge("threshold_feed_connections", "Readers of the feed that are connected")
FRAMES: Final = Counter("threshold_feed_frames", "Frames written to readers", ["event"])
SERIALIZED: Final = Counter("threshold_feed_serialized_frames", "Frames put into bytes, once for many readers")
CUT_OFF: Final = Counter("threshold_feed_cut_off", "Readers that the feed has left", ["reason"])
REFUSED: Final = Counter("threshold_feed_refused", "Connections that were refused a place", ["problem"])
UNITS: Final = Gauge("threshold_feed_units", "Units that the feed knows of")
UNREADABLE: Final = Counter("threshold_feed_unreadable_records", "Records that can't be read: alarm")
