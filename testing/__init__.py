"""Test support for this project and for the jobs you add: a simulated hostile Lambda, and helpers.

Needs the development requirements (moto). It is never deployed.
"""
