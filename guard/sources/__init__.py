"""Sources: each reads one place and says what it found there. None judges."""
