"""Tests in a browser, in Node and in containers: `make test-extra` runs them, `make test` does not."""
