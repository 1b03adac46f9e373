"""Benchmarks: `python -m tests.benchmarks NAME`; the last line of stdout is one JSON object."""
