"""Erase an organization's data from a stack, for `job-runners erase`.

This code runs on the operator's machine, with the operator's credentials. It isn't deployed, so no
function of the stack needs permission to delete file versions, and no API route can erase an
organization. Only `job_runners.store` builds the keys of the data.
"""
