"""The batch edge: one Ray job per file, each `python -m pipelines.NAME`."""
