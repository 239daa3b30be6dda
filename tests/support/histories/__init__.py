"""Histories: jobs under a simulated Lambda that does them harm at random, and their checkers."""
