"""What is accepted, what the result is, and how good it is."""
