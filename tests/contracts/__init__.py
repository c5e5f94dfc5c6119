"""What others rely on: the shape of events, and who may call which route."""
