"""Other recommenders on the same queries: in their own environment, over a folder of files."""
