"""Parts of the benchmark ``pool``."""
