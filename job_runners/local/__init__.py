"""The local AWS that `job-runners run` starts, with the functions that it runs."""
