"""Reranking: from a ranking to a slate, one step a file.

A step is a module of this package with a ``STEP``, made from the section of its name in the
``reranking`` settings; ``reranking.steps`` says which are taken, in which order.
"""
