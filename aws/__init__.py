"""AWS plumbing, said once: the clients, what their errors mean, the bucket."""
