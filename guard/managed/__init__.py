"""Agents' own files for administrators: rendered from the system policy, compared, written."""
