"""Text in, unit vectors out: the language model that reads what items say."""
