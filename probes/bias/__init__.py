"""Probes of bias: stereotypes, and disparities between groups."""
