"""Texts become numbers here and nowhere else: tokenizing, batching and calling a model."""
