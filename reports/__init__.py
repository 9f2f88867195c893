"""Make an audit's record readable; knows nothing of models, data or statistics."""
