"""What `jobs doctor` looks at: how a stack is set up, and what state it is in."""
