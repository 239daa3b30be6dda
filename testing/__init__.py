"""For tests of this project, and of the jobs you add: a simulated Lambda that does its worst, and
helpers to assert with.

Needs the development requirements (moto). Nothing here is deployed.
"""
