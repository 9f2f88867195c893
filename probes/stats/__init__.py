"""Arrays in, estimates out: no models, no files."""
