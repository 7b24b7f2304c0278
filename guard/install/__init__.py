"""What routeguard puts on a machine, and takes away again."""
