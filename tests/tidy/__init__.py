"""Rules about the tree itself, so that it stays as its readers expect."""
