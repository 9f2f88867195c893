"""Probes of robustness: other domains and perturbed texts."""
