"""The console: a page at ``/console`` on which people watch interest fade."""

from serving.console.routes import mount_console

__all__ = ["mount_console"]
