"""The parts of the quality benchmark; each is a function ``run(bench)`` in a file of its own."""
