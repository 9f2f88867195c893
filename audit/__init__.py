"""Run an audit: plan, train the arms, put the probes to them, file, compare, judge."""
