"""`routeguard check`: which files, which rules, what is silenced, and what comes out."""
