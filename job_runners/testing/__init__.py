"""Test support for this project and for your own jobs: pytest fixtures, and a simulated Lambda.

This package needs moto, and is never deployed.
"""
