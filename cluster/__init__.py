"""Composition and deployment: which machines, settings and joins."""
