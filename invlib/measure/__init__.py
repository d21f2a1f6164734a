"""How much an answer depends on the place."""
