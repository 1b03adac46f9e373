"""What a recommendation is: a pure library, without Ray, clocks or environment."""
