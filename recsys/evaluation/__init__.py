"""How quality is measured: splits, metrics, intervals, baselines, protocol and report."""
