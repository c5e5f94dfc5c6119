"""The board: pages on which a navigator finds and holds a bed, and a shelter says how many it has."""
