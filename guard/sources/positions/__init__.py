"""Parsers that keep positions: what stands in a structured file, and at which character."""
