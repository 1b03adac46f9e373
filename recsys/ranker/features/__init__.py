"""What the ranking model reads of an item: a file a feature, named in ``ranker.features``."""
