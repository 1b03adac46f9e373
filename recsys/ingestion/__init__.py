"""From logs as they lie on disk to canonical events: find, read, convert, validate, settle."""
