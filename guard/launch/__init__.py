"""Plan a launch, run it, prove it."""
