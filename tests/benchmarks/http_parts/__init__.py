"""Parts of the benchmark ``http``: each has ``run(options, say) -> dict``."""
