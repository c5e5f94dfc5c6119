"""Tests of pure code: no process, no broker, no database."""
