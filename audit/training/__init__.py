"""One loop for every arm; differential privacy is a change of its setup."""
