"""What tests share: the real stack, free ports, waiting for a condition."""
