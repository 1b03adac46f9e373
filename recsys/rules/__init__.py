"""Business rules: what operators say about slates, in CEL (the Common Expression Language).

    written -> read (schema) -> limits (tokens) -> typed (language) -> split (predicate)
            -> compiled for a catalog -> bound to a request -> applied to candidates

Precedence: filter and availability > pin > quota > boost and bury; of two rules of one kind the
higher ``priority`` counts, then the id that sorts first.
"""
