"""Access to AWS: the clients, the meaning of their errors, and the bucket."""
