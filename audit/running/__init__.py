"""A run: data, arms, questions, comparisons, and the record."""
