"""Tests in a browser or in Node: `make test-extra` runs them, `make test` does not."""
