"""Test support for this project and for your own jobs: pytest fixtures, and a simulated Lambda.

It needs moto, and is never deployed.
"""
