"""What a network sees: items, where they come from, and the canvas they lie on."""
