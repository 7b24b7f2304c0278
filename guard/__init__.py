"""routeguard: Portkey is the only gateway."""

__version__ = "0.1.0"
