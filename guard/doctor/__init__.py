"""What is wrong on this machine, check by check, and the command that mends it."""
