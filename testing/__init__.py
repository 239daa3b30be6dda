"""For tests of this project, and of the jobs you add: an unkind Lambda, and helpers to assert with.

Needs the development requirements (moto). Nothing here is deployed.
"""
