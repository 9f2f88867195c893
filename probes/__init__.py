"""Question a language model, and do the arithmetic on its answers."""
