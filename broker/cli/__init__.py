"""The `osb` command, one file per noun."""

from broker.cli.main import main

__all__ = ["main"]
