"""People's rights: what is held about a user, and how it is erased everywhere."""
