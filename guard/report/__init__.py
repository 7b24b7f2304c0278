"""Reporters: each writes a finished check in one format and judges nothing."""
