"""What a user's events say about the user's interest as of a moment."""
