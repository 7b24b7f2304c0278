"""What is allowed, as data: layers, their merge, and the compiled form the hot path reads."""
