"""Figures: which series is drawn how, what is said of it, and the numbers under it."""
