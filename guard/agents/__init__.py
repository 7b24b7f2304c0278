"""Programs that talk to models: what they are, how they run, how they are pinned."""
