"""The HTTP interface: routes, schemas, checks and errors."""
