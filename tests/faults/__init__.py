"""Real processes killed, stopped and cut off at the worst moment."""
