"""The interest graph: named nodes of like items, edges between them, and where users are."""
