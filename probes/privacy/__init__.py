"""Probes of privacy: what an attacker would learn about the training data."""
