"""The main job through the front doors of a whole stack, as its users have it."""
