"""Cold start: what can be said for users of whom little is known, and of items that are new.

Each file is one idea that adds a part to the score of every item: what the user says
(``statement``, ``reading``, ``said``), those alike (``segments``), those they follow (``follows``),
and the benefit of the doubt for new items (``optimism``). ``told`` puts them beside the evidence.
"""
