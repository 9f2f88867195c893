"""Probes of utility: does the model do its task at all?"""
