"""Rules and their detectors: facts and policy in, findings out."""
