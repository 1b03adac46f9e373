"""Chaos of the profile pool: shards that die, stand still and come back, and who counts after."""
