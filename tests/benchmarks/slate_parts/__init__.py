"""Parts of the benchmark ``slate``, each a function that returns figures."""
