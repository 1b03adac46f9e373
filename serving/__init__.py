"""The online edge: the profile pool (Ray actors) and the Ray Serve application."""
