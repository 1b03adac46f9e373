"""Candidate sources: where the items of a slate may come from, one file each.

A source is a module of this package with a ``SOURCE``; ``retrieval.sources`` names those that are
asked, with how many items each may bring.
"""
