"""Wishes: what a user says of their interests. Mute it, boost it, pin it, forget it."""
