"""gRPC: the same gateway as over HTTP, for recommendations and events."""
