"""What is found in files, by kind of file."""
