"""One verb a file: read arguments, call a room below, render."""
