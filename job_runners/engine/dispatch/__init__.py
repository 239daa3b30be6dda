"""Accept new work: check it, save it, send it."""
