"""What is found about one agent: a folder or a module for each."""
