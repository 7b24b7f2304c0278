"""Facts about other programs, as data with provenance."""
