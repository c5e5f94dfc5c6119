"""What the boundary is told by its environment besides what every service is."""

from pathlib import Path

from services.kit.settings import ServiceSettings


class BoundarySettings(ServiceSettings):
    """`snapshots`: a folder of its own (THRESHOLD_SNAPSHOTS); losing it costs time at the next start, nothing else."""

    snapshots: Path = Path(".threshold/snapshots")
