"""The live feed: what is public of every unit, read from the log and streamed to whoever may read it."""
