"""Erase an organization's data from a stack, for `job-runners erase`.

This code runs on the operator's machine with the operator's credentials, and isn't deployed. No
function of the stack may delete file versions, and no route of the API can erase an organization.
The keys of the data come from the store: this package spells none.
"""
