"""Erase an organization's data from a stack, for `jobs erase`.

This code runs on the operator's machine with the operator's credentials. No function of the stack
may delete file versions, and no route of the API can erase an organization.
"""
