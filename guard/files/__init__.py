"""Files: read what somebody else may have put there, write whole, lock, find the tree around.

Ground room and hot path: `os`, `stat` and `errno` only; it knows nothing of the rooms above it.
"""
