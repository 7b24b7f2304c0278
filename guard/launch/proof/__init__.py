"""What `routeguard verify` is made of: canaries, throw-away surroundings, a fetched agent."""
