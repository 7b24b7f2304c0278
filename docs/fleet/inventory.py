#!/usr/bin/env python3
"""Writes what `routeguard agents --json` prints into a SQLite file, for osquery to read.

Usage: routeguard agents --json | inventory.py FILE
"""

import json
import os
import sqlite3
import sys

COLUMNS = ("time", "pid", "user", "agent", "state", "program", "since", "rule")


def main() -> None:
    """Replace FILE in one rename, so that whoever reads it sees one run whole."""
    path = sys.argv[1]
    found = json.load(sys.stdin)["agents"]
    new = f"{path}.new"
    if os.path.exists(new):
        os.unlink(new)
    with sqlite3.connect(new) as database:
        database.execute(f"CREATE TABLE agents ({', '.join(COLUMNS)})")
        now = database.execute("SELECT strftime('%Y-%m-%dT%H:%M:%SZ')").fetchone()[0]
        database.executemany(
            "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(now, *(one[name] for name in COLUMNS[1:])) for one in found],
        )
    database.close()
    os.replace(new, path)


if __name__ == "__main__":
    main()
