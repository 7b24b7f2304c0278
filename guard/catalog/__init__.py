"""What is known about other people's names and hosts: data with provenance, no judgement."""
