"""What the tests and the pictures of the console stand on."""
