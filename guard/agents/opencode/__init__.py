"""opencode 1.x: its argument grammar, its configuration, and what must be refused."""
