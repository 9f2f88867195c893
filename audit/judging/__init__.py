"""After a run: gates, verdicts, and every number recomputed from the stored rows."""
