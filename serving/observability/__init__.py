"""What the online edge tells of itself: a log line, counts and spans of requests."""
