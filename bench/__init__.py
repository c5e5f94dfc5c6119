"""Measures what README and docs claim; `make bench` writes bench/results.md."""
