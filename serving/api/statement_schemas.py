"""What is told of how a statement was understood."""

from __future__ import annotations

from pydantic import BaseModel


class ClauseOut(BaseModel):
    """One thing that was said."""

    text: str
    is_wished: bool
    topics: list[str] = []
    """Categories or interests that it is about; items of such that are not wished are left out."""


class StatementOut(BaseModel):
    """What ``interests`` were understood to say."""

    clauses: list[ClauseOut]
    is_read: bool
    """Whether the language model has read it; False = it is away or there is none, and only names
    of categories and interests were understood."""
    unknown: list[str] = []
    """Labels of the request that are no name; they were read as free text."""
