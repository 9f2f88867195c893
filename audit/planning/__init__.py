"""Before a run: arms, probes and units of work; what they cost; which gates can pass at all."""
