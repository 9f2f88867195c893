"""Numbers and words as a reader sees them: rounding, names, sentences, and what the terms mean."""
