"""What cuts a process off from TCP ports: one module for each thing that the system offers."""
