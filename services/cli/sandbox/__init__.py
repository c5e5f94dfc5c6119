"""The sandbox: test organizations for who connects a system, and one event of every kind on demand."""
