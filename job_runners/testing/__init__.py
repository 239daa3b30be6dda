"""Test support for this project and for the jobs you add: a simulated hostile Lambda, and helpers.

It needs the development requirements (moto), and is never deployed.
"""
