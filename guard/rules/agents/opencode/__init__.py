"""Calls of opencode in files, and its own files."""
