"""Everything that fades: kernels, banks of half-lives, the additive state and its one fold."""
