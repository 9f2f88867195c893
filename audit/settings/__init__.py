"""The config file: its one vocabulary, how it is read, what may be wrong with it."""
