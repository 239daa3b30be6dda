"""How `jobs erase` removes all that a stack keeps of one organisation.

It runs here, with the credentials of whoever calls it, and not in a function of the stack: none of
those may delete a version of a file, and no route of the API can erase a customer.
"""
