"""The interest graph."""
